"""LoRA adapters as GGUF files of their own, as llama.cpp's converter writes them."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import xllamacpp

from quantize import api
from tests.support.adapters import (
    BASES,
    GOLDENS,
    adapter_file,
    check_tokens,
    contents,
)
from tests.support.engine import EXACT, serve


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lora-layers-subset", "F32"),
        ("lora-layers-subset", "F16"),
        ("lora-bf16", "F32"),
        ("lora-embedding", "F32"),
    ],
)
def test_a_gguf_adapter_is_llama_cpp_s(
    name: str, kind: str, encodings: Path, tmp_path: Path
) -> None:
    file = adapter_file(encodings, name, tmp_path, kind)
    golden = GOLDENS / (f"{name}.gguf" if kind == "F32" else f"{name}-{kind}.gguf")
    ours, theirs = gguf.GGUFReader(file), gguf.GGUFReader(golden)
    assert list(ours.fields) == list(theirs.fields)
    for key, field in theirs.fields.items():
        assert contents(ours, key) == field.contents(), key
        assert ours.fields[key].types == field.types, key
    assert tensors_of(ours) == tensors_of(theirs)


def tensors_of(file: gguf.GGUFReader) -> dict[str, tuple[str, list[int], bytes]]:
    return {
        tensor.name: (tensor.tensor_type.name, tensor.shape.tolist(), tensor.data.tobytes())
        for tensor in file.tensors
    }


def test_rslora_is_in_alpha(encodings: Path, tmp_path: Path) -> None:
    """llama.cpp's converter loses it: its engine divides by the rank, peft by the root of it."""
    ours = gguf.GGUFReader(adapter_file(encodings, "lora-rslora", tmp_path))
    theirs = gguf.GGUFReader(GOLDENS / "lora-rslora.gguf")
    assert tensors_of(ours) == tensors_of(theirs)
    assert contents(theirs, "adapter.lora.alpha") == 16
    assert contents(ours, "adapter.lora.alpha") == 16 * 16**0.5


@pytest.mark.parametrize(
    "case", ["lora-plain", "lora-rslora", "lora-patterns", "lora-gpt2-fan-in-fan-out"]
)
def test_a_gguf_adapter_adds_what_a_merge_adds(case: str, encodings: Path, tmp_path: Path) -> None:
    """As llama.cpp applies it: base + alpha / rank * lora_b @ lora_a, in GGUF's order of rows."""
    base = str(encodings / BASES[case])
    files = {
        "base": api.convert(base, api.Options(types=("F32",), output=tmp_path / "base", jobs=1)),
        "merged": api.convert(
            base,
            api.Options(
                types=("F32",), lora=(str(encodings / case),), output=tmp_path / "merged", jobs=1
            ),
        ),
    }
    values = {
        side: {
            t.name: np.array(t.data, np.float64) for t in gguf.GGUFReader(one.files[0].path).tensors
        }
        for side, one in files.items()
    }
    adapter = gguf.GGUFReader(adapter_file(encodings, case, tmp_path))
    factors = {tensor.name: np.array(tensor.data, np.float64) for tensor in adapter.tensors}
    alpha = contents(adapter, "adapter.lora.alpha")
    names = {name.removesuffix(".lora_a") for name in factors if name.endswith(".lora_a")}
    assert names
    for name, before in values["base"].items():
        after = before
        if name in names:
            a, b = factors[f"{name}.lora_a"], factors[f"{name}.lora_b"]
            after = before + alpha / len(a) * b @ a
            assert not np.array_equal(before, values["merged"][name])
        # The merge rounds to float32, and so do factors with another scale.
        limit = 2**-22 * np.abs(after).max()
        assert np.abs(values["merged"][name] - after).max() <= limit, name


def test_llama_cpp_loads_a_gguf_adapter(tinyrust: Path, tmp_path: Path) -> None:
    """Beside the base, it says what peft says."""
    (base,) = api.convert(str(tinyrust), api.Options(types=("F32",), output=tmp_path)).files
    options = api.Options(adapter_only=True, base=str(tinyrust), output=tmp_path)
    (adapter,) = api.convert(str(GOLDENS / "tinyrust-lora"), options).files
    loaded = xllamacpp.CommonAdapterLoraInfo()
    loaded.path, loaded.scale = str(adapter.path), 1.0
    check_tokens(serve(base.path, lora_adapters=[loaded], **EXACT))


def test_the_modelfile_of_an_adapter_names_both(encodings: Path, tmp_path: Path) -> None:
    adapter_file(encodings, "lora-plain", tmp_path)
    lines = (tmp_path / "Modelfile").read_text("utf-8").splitlines()
    assert "FROM ./lora-base-Q4_K_M.gguf" in lines
    assert "ADAPTER ./lora-plain-F32.gguf" in lines


def test_the_modelfile_of_an_adapter_names_what_convert_makes_of_the_base(
    tinyrust: Path, tmp_path: Path
) -> None:
    """`--base` counts, and a folder whose name says nothing has its parent's."""
    (base,) = api.convert(str(tinyrust), api.Options(types=("Q4_K_M",), output=tmp_path)).files
    options = api.Options(adapter_only=True, base=str(tinyrust), output=tmp_path / "adapter")
    api.convert(str(GOLDENS / "tinyrust-lora"), options)
    lines = (tmp_path / "adapter" / "Modelfile").read_text("utf-8").splitlines()
    assert f"FROM ./{base.path.name}" in lines
