"""LoRA adapters, merged as peft merges them."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from quantize import api
from quantize.checkpoints.adapters.merged import MergedCheckpoint
from quantize.checkpoints.checkpoint import open_checkpoint
from quantize.sources.adapters import open_adapter
from quantize.storage.local import LocalFolder
from quantize.tensors import as_rows
from tests.conftest import kit_module
from tests.support.adapters import (
    BASES,
    GOLDENS,
    check_tokens,
    contents,
    decoded,
    edited_copy,
    merged,
)
from tests.support.engine import EXACT, serve


@pytest.mark.parametrize("case", BASES)
def test_a_merge_is_peft_s(case: str, encodings: Path) -> None:
    judge: ModuleType = kit_module(encodings, "check_encodings")
    source = merged(encodings, BASES[case], case)
    expected = json.loads((encodings / "expected" / f"{case}.json").read_text("utf-8"))
    assert expected["base"] == BASES[case]
    assert source.weights.keys() == expected["weights"].keys()
    for name in source.weights:
        assert judge.check(case, name, decoded(source, name)) == []


@pytest.mark.parametrize("case", BASES)
@settings(max_examples=25)
@given(data=st.data())
def test_rows_do_not_depend_on_the_range_they_are_read_in(
    case: str, encodings: Path, data: st.DataObject
) -> None:
    source: MergedCheckpoint = pickle.loads(pickle.dumps(merged(encodings, BASES[case], case)))
    changed = [
        w.name for w in source.weights.values() if "adapter" in w.encoding or "+" in w.encoding
    ]
    name = data.draw(st.sampled_from(changed))
    rows = as_rows(source.weights[name].shape)[0]
    lo = data.draw(st.integers(0, rows))
    hi = data.draw(st.integers(lo, rows))
    whole = source.decode_rows(name, 0, rows)
    assert source.decode_rows(name, lo, hi).tobytes() == whole[lo:hi].tobytes()


def test_adapters_are_merged_in_turn(encodings: Path) -> None:
    """Two sums in float64, whatever order they are written down in."""
    source = merged(encodings, "lora-base", "lora-plain", "lora-bf16")
    name = "model.layers.0.self_attn.q_proj.weight"
    alone = [merged(encodings, "lora-base", one) for one in ("lora-plain", "lora-bf16")]
    base = decoded(open_checkpoint(LocalFolder(encodings / "lora-base"), "base"), name)
    deltas = [decoded(one, name).astype(np.float64) - base for one in alone]
    both = decoded(source, name)
    # Each of the three merges rounds once.
    assert np.abs(both - (base + deltas[0] + deltas[1])).max() <= 3 * 2**-24 * np.abs(both).max()
    assert source.weights[name].encoding == "plain + LoRA + LoRA"


def test_a_scale_multiplies_what_is_added(encodings: Path, tmp_path: Path) -> None:
    """Half of it is what an adapter with half of lora_alpha adds."""
    half = edited_copy(encodings / "lora-plain", tmp_path / "half", {"lora_alpha": 8})
    ours = open_adapter(f"{encodings / 'lora-plain'}=0.5").adapter
    base = open_checkpoint(LocalFolder(encodings / "lora-base"), "base")
    scaled, theirs = MergedCheckpoint(base, [ours]), merged(encodings, "lora-base", half)
    for name in base.weights:
        assert decoded(scaled, name).tobytes() == decoded(theirs, name).tobytes()


@pytest.mark.parametrize("case", ["lora-plain", "lora-on-bnb-nf4", "lora-modules-to-save"])
def test_files_are_those_of_the_merged_checkpoint(
    case: str, encodings: Path, tmp_path: Path
) -> None:
    """Through the whole tool: the bytes of a plain checkpoint of the merged values."""
    base, source = encodings / BASES[case], merged(encodings, BASES[case], case)
    name = f"{BASES[case]}-{case}"
    plain = tmp_path / name
    plain.mkdir()
    for file in base.iterdir():
        if file.suffix != ".safetensors" and "safetensors.index" not in file.name:
            (plain / file.name).write_bytes(file.read_bytes())
    config = dict(source.config)
    config.pop("quantization_config", None)
    (plain / "config.json").write_text(json.dumps(config), "utf-8")
    save_file({one: decoded(source, one) for one in source.weights}, plain / "model.safetensors")

    types = ("F32", "Q8_0", "Q4_K_M")
    lora = api.Options(types=types, lora=(str(encodings / case),), output=tmp_path / "a", jobs=1)
    api.convert(str(base), lora)
    api.convert(str(plain), api.Options(types=types, output=tmp_path / "b", jobs=1))
    for kind in types:
        ours, theirs = (
            gguf.GGUFReader(tmp_path / side / f"{name}-{kind}.gguf") for side in ("a", "b")
        )
        assert [tensor.name for tensor in ours.tensors] == [t.name for t in theirs.tensors]
        for one, other in zip(ours.tensors, theirs.tensors, strict=True):
            assert one.tensor_type == other.tensor_type
            assert one.data.tobytes() == other.data.tobytes(), one.name
        assert contents(ours, "tokenizer.ggml.tokens") == contents(theirs, "tokenizer.ggml.tokens")
    assert contents(ours, "general.base_model.count") == 2
    assert contents(ours, "general.base_model.0.name") == BASES[case]
    assert contents(ours, "general.base_model.1.name") == case
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text("utf-8"))
    (recorded,) = manifest["source"]["adapters"]
    assert (recorded["name"], recorded["scale"]) == (case, 1.0)


def test_resized_embeddings_come_with_the_adapter_s_tokenizer(
    encodings: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(encodings / "lora-modules-to-save", adapter)
    tokenizer = json.loads((encodings / "lora-base" / "tokenizer.json").read_text("utf-8"))
    model = tokenizer["model"]["vocab"] | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    new = {"id": max(model.values()) + 1, "content": "<|mine|>", "special": True}
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][-1] | new)
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    config = encodings / "lora-base" / "tokenizer_config.json"
    shutil.copy(config, adapter)
    source = merged(encodings, "lora-base", adapter)
    assert source.config["vocab_size"] == 1056
    found = source.read_json("tokenizer.json")
    assert found["added_tokens"][-1]["content"] == "<|mine|>"
    # Without embeddings of its own an adapter has no say in that.
    shutil.copytree(encodings / "lora-plain", tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    source = merged(encodings, "lora-base", tmp_path / "other")
    assert source.read_json("tokenizer.json") != tokenizer


def test_tinyrust_says_what_peft_says_with_it(tinyrust: Path, tmp_path: Path) -> None:
    """32 tokens, greedily; peft's were made by scripts/make_adapter_goldens.py."""
    lora = (str(GOLDENS / "tinyrust-lora"),)
    options = api.Options(types=("F32",), lora=lora, output=tmp_path)
    (file,) = api.convert(str(tinyrust), options).files
    check_tokens(serve(file.path, **EXACT))


def test_a_folder_of_another_name_is_only_noted(encodings: Path, tmp_path: Path) -> None:
    settings = {"base_model_name_or_path": "org/Tiny-1B"}
    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", settings)
    options = api.Options(types=("Q8_0",), lora=(str(copy),))
    notes = api.plan(str(encodings / "lora-base"), options).notes
    assert any("org/Tiny-1B" in note for note in notes)
    options = api.Options(types=("Q8_0",), lora=(str(encodings / "lora-plain"),))
    assert api.plan(str(encodings / "lora-base"), options).notes == ()


def test_the_factor_that_every_task_holds_is_counted(encodings: Path) -> None:
    options = api.Options(types=("Q8_0",), lora=(str(encodings / "lora-plain"),))
    (plan,) = api.plan(str(encodings / "lora-base"), options).plans
    held = {tensor.name: tensor.fixed_nbytes for tensor in plan.tensors}
    # lora_A of down_proj: 8 x 352 as it is stored, and again as float32.
    assert held["blk.0.ffn_down.weight"] == 2 * 4 * 8 * 352
    assert held["token_embd.weight"] == 0
