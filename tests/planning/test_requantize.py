"""Sources that are quantized already: refused, moved as they are, or quantized again with leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from quantize import api
from quantize.errors import QuantizeError
from quantize.verbs.verify import verify

Folder = Callable[[str], Path]


def refused(source: str, type: str, **options: Any) -> QuantizeError:
    with pytest.raises(QuantizeError) as caught:
        api.plan(source, api.Options(types=(type,), **options))
    return caught.value


def quantized(source: str, folder: Path, type: str) -> Path:
    return api.convert(source, api.Options(types=(type,), output=folder, jobs=1)).files[0].path


def data(file: Path) -> dict[str, tuple[str, bytes]]:
    tensors = gguf.GGUFReader(file).tensors
    return {tensor.name: (tensor.tensor_type.name, tensor.data.tobytes()) for tensor in tensors}


def test_a_quantized_file_is_no_source_unless_allowed(llama: str, tmp_path: Path) -> None:
    source = str(quantized(llama, tmp_path, "Q8_0"))
    error = refused(source, "Q4_K_M")
    assert error.exit_code == 3
    assert (error.code, error.where) == ("quantized-source", "output.weight")
    assert "--allow-requantize" in (error.hint or "")
    # What is of the wanted type already needs no leave.
    assert api.plan(source, api.Options(types=("Q8_0",))).notes == ()
    error = refused(source, "Q8_0", allow_requantize=True, keep_quantized=True)
    assert error.code == "keep-or-requantize"


def test_one_read_moves_for_one_file_what_it_quantizes_anew_for_another(
    llama: str, tmp_path: Path
) -> None:
    source = quantized(llama, tmp_path, "Q4_K_M")
    types = ("Q4_K_M", "Q5_K_M")
    options = api.Options(types=types, allow_requantize=True, output=tmp_path, jobs=2)
    planned = api.plan(str(source), options)
    count = sum(type == "Q4_K" for type, _ in data(source).values())
    (note,) = planned.notes
    assert note.startswith(f"Q5_K_M: quantized again: {count} tensors from Q4_K.")
    same, other = (one.path for one in api.convert(str(source), options).files)
    assert data(same) == data(source)
    moved = {name for name, stored in data(source).items() if data(other)[name] == stored}
    assert "output.weight" in moved  # Q6_K in both
    assert "blk.0.attn_q.weight" not in moved
    for file in (same, other):
        assert verify(file, str(source)).compared == len(data(file))


def test_a_file_made_anew_says_of_its_source_what_that_said(
    checkpoint: Folder, kit: Path, tmp_path: Path
) -> None:
    """llama-quantize copies all key-values, those on the source's importance matrix too."""
    options = api.Options(
        types=("Q8_0",),
        imatrix=kit / "models" / "qwen2-tied" / "imatrix.gguf",
        output=tmp_path,
        jobs=1,
    )
    source = api.convert(str(checkpoint("qwen2-tied")), options).files[0].path
    (plan,) = api.plan(str(source), api.Options(types=("Q4_0",), allow_requantize=True)).plans
    told = {kv.key: kv.value for kv in plan.kvs if kv.key.startswith("quantize.imatrix.")}
    assert told["quantize.imatrix.file"] == str(options.imatrix)


def test_keep_quantized_moves_what_a_file_has_quantized(llama: str, tmp_path: Path) -> None:
    source = quantized(llama, tmp_path, "Q8_0,tensor-type=ffn=f16,as=partly")
    planned = api.plan(str(source), api.Options(types=("Q4_K_M",), keep_quantized=True))
    types = {tensor.name: (tensor.type, tensor.reason) for tensor in planned.plans[0].tensors}
    assert types["blk.0.attn_q.weight"] == ("Q8_0", "stored as Q8_0: moved without loss")
    assert types["blk.1.ffn_up.weight"] == ("Q4_K", "Q4_K_M: default")


def test_mxfp4_of_a_checkpoint_is_kept_unless_requantizing_is_allowed(checkpoint: Folder) -> None:
    source = str(checkpoint("gptoss"))
    for allowed, found in ((False, "MXFP4"), (True, "Q4_K")):
        options = api.Options(types=("Q4_K_S",), allow_requantize=allowed)
        planned = api.plan(source, options)
        types = {tensor.name: tensor.type for tensor in planned.plans[0].tensors}
        assert types["blk.0.ffn_up_exps.weight"] == found
        assert bool(planned.notes) is allowed
