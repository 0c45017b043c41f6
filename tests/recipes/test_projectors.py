"""Files for pictures (mmproj), quantized further: what llama.cpp can still compute with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from quantize import api
from quantize.cli.views.converted import ollama_lines

PROJECTION = "mm.input_projection.weight"
MATRICES = {PROJECTION: (64, 256), "v.blk.0.ffn_up.weight": (128, 256)}


@pytest.fixture
def mmproj(tmp_path: Path) -> Path:
    path = tmp_path / "mmproj-tiny-F16.gguf"
    writer = GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_file_type(1)
    writer.add_bool("clip.has_vision_encoder", val=True)
    writer.add_string("clip.projector_type", "gemma3")
    values = np.random.default_rng(0)
    for name, shape in MATRICES.items():
        writer.add_tensor(name, values.normal(size=shape).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("type", "others"), [("Q8_0", "Q8_0"), ("Q4_K_M", "Q4_K")])
def test_what_llama_cpp_transposes_is_never_quantized(
    mmproj: Path, tmp_path: Path, type: str, others: str
) -> None:
    options = api.Options(types=(type,), output=tmp_path / "out", jobs=1)
    (file,) = api.convert(str(mmproj), options).files
    written = {tensor.name: tensor for tensor in GGUFReader(file.path).tensors}
    before = {tensor.name: tensor for tensor in GGUFReader(mmproj).tensors}
    assert written[PROJECTION].tensor_type.name == "F16"
    assert written[PROJECTION].data.tobytes() == before[PROJECTION].data.tobytes()
    assert written["v.blk.0.ffn_up.weight"].tensor_type.name == others


def test_a_projector_alone_leaves_the_modelfile_of_its_text_file(
    mmproj: Path, tmp_path: Path
) -> None:
    modelfile = tmp_path / "Modelfile"
    modelfile.write_text("FROM ./text.gguf\n", "utf-8")
    done = api.convert(str(mmproj), api.Options(types=("Q8_0",), output=tmp_path, jobs=1))
    assert done.modelfiles == ()
    assert ollama_lines(done) == []
    assert modelfile.read_text("utf-8") == "FROM ./text.gguf\n"
