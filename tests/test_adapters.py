"""LoRA adapters: merged as peft merges them, or written as llama.cpp's converter writes them."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
import xllamacpp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from quantize import api
from quantize.checkpoints.adapters.merged import MergedCheckpoint
from quantize.checkpoints.adapters.peft import read_adapter
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import CheckpointError, QuantizeError, UnsupportedError, UsageError
from quantize.planning.adapters import merge_into, open_adapter
from quantize.planning.opening import Opened
from quantize.storage.local import LocalFolder
from quantize.tensors import as_rows
from tests.conftest import kit_module
from tests.engine import EXACT, serve

GOLDENS = Path(__file__).parent / "data" / "adapters"
BASES = {
    "lora-bf16": "lora-base",
    "lora-dora": "lora-base",
    "lora-embedding": "lora-base",
    "lora-gpt2-fan-in-fan-out": "lora-gpt2-base",
    "lora-layers-subset": "lora-base",
    "lora-modules-to-save": "lora-base",
    "lora-on-bnb-nf4": "bnb-nf4",
    "lora-patterns": "lora-base",
    "lora-plain": "lora-base",
    "lora-rslora": "lora-base",
    "lora-trainable-tokens": "lora-base",
}


def merged(encodings: Path, base: str, *adapters: str | Path) -> MergedCheckpoint:
    source = Checkpoint(LocalFolder(encodings / base), base)
    opened = [read_adapter(LocalFolder(encodings / one), str(one)) for one in adapters]
    return MergedCheckpoint(source, opened)


def decoded(source: Checkpoint, name: str) -> NDArray[np.float32]:
    shape = source.weights[name].shape
    return source.decode_rows(name, 0, as_rows(shape)[0]).reshape(shape)


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
@settings(deadline=None, max_examples=25)
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
    base = decoded(Checkpoint(LocalFolder(encodings / "lora-base"), "base"), name)
    deltas = [decoded(one, name).astype(np.float64) - base for one in alone]
    both = decoded(source, name)
    # Each of the three merges rounds once.
    assert np.abs(both - (base + deltas[0] + deltas[1])).max() <= 3 * 2**-24 * np.abs(both).max()
    assert source.weights[name].encoding == "plain + LoRA + LoRA"


def test_a_scale_multiplies_what_is_added(encodings: Path, tmp_path: Path) -> None:
    """Half of it is what an adapter with half of lora_alpha adds."""
    half = edited_copy(encodings / "lora-plain", tmp_path / "half", {"lora_alpha": 8})
    ours = open_adapter(f"{encodings / 'lora-plain'}=0.5").adapter
    base = Checkpoint(LocalFolder(encodings / "lora-base"), "base")
    scaled, theirs = MergedCheckpoint(base, [ours]), merged(encodings, "lora-base", half)
    for name in base.weights:
        assert decoded(scaled, name).tobytes() == decoded(theirs, name).tobytes()


def edited_copy(
    source: Path,
    target: Path,
    settings: Mapping[str, Any] | None = None,
    tensors: Callable[[dict[str, NDArray[Any]]], None] = lambda tensors: None,
) -> Path:
    shutil.copytree(source, target)
    config = json.loads((source / "adapter_config.json").read_text("utf-8")) | (settings or {})
    (target / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    weights = target / "adapter_model.safetensors"
    if settings is None:
        found = load_file(weights)
        tensors(found)
        save_file(found, weights)
    return target


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


def contents(file: gguf.GGUFReader, key: str) -> Any:
    field = file.get_field(key)
    assert field is not None, key
    return field.contents()


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


def check_tokens(server: Any) -> None:
    for entry in json.loads((GOLDENS / "tinyrust-lora" / "expected.json").read_text("utf-8")):
        answer = server.handle_completions({
            "prompt": entry["prompt"],
            "max_tokens": len(entry["tokens"]),
            "temperature": 0.0,
            "ignore_eos": True,
            "return_tokens": True,
        })  # fmt: skip
        answer = json.loads(answer) if isinstance(answer, str) else dict(answer)
        assert answer["choices"][0]["text"] == entry["text"]


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


def adapter_file(encodings: Path, name: str, folder: Path, kind: str = "F32") -> Path:
    options = api.Options(types=(kind,), adapter_only=True, output=folder, jobs=1)
    return api.convert(str(encodings / name), options).files[0].path


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


REFUSED: Mapping[str, tuple[str, Mapping[str, Any], type[QuantizeError], str]] = {
    "another method": ("lora-plain", {"peft_type": "IA3"}, UnsupportedError, "unknown-adapter"),
    "replicated layers": (
        "lora-plain", {"layer_replication": [[0, 2]]}, UnsupportedError, "unknown-adapter"
    ),
    "a changed base": (
        "lora-plain", {"init_lora_weights": "pissa_niter_4"}, UnsupportedError, "unknown-adapter"
    ),
    "another rank": ("lora-plain", {"r": 16}, CheckpointError, "bad-adapter"),
    "no rank": ("lora-plain", {"r": None}, CheckpointError, "bad-adapter-config"),
    "other tokens": (
        "lora-trainable-tokens",
        {"trainable_token_indices": {"embed_tokens": [1]}},
        CheckpointError,
        "adapter-mismatch",
    ),
    "tokens that are not there": (
        "lora-trainable-tokens",
        {"trainable_token_indices": {"embed_tokens": [1, 2, 5000]}},
        CheckpointError,
        "adapter-mismatch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_be_merged_wrongly_is_refused(
    what: str, encodings: Path, tmp_path: Path
) -> None:
    case, settings, kind, reference = REFUSED[what]
    copy = edited_copy(encodings / case, tmp_path / "copy", settings)
    with pytest.raises(kind) as caught:
        merged(encodings, "lora-base", copy)
    assert caught.value.reference == reference
    assert caught.value.hint


@pytest.mark.parametrize("value", [-1, 0, 1.5, True, "x", "(", [], [1], {"a": "x"}, {"(": 1}])
def test_nonsense_in_a_config_is_an_error_of_ours(
    value: Any, encodings: Path, tmp_path: Path
) -> None:
    source = encodings / "lora-patterns"
    refused: list[QuantizeError] = []
    for key in json.loads((source / "adapter_config.json").read_text("utf-8")):
        copy = edited_copy(source, tmp_path / key, {key: value})
        try:
            merged(encodings, "lora-base", copy)
        except QuantizeError as error:
            refused.append(error)
    assert refused
    assert all(error.hint for error in refused)


def test_an_adapter_of_another_model_is_refused(encodings: Path) -> None:
    """By its shapes where names are the same, by its names where they are not."""
    with pytest.raises(CheckpointError) as shapes:
        merged(encodings, "awq-gemm-4bit-g128", "lora-plain")
    assert shapes.value.reference == "adapter-mismatch"
    with pytest.raises(CheckpointError) as names:
        merged(encodings, "lora-gpt2-base", "lora-plain")
    assert names.value.reference == "adapter-without-base"


def test_half_a_pair_is_refused(encodings: Path, tmp_path: Path) -> None:
    def halve(tensors: dict[str, NDArray[Any]]) -> None:
        tensors.pop("base_model.model.model.layers.0.mlp.down_proj.lora_B.weight")

    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", None, halve)
    with pytest.raises(CheckpointError) as caught:
        merged(encodings, "lora-base", copy)
    assert caught.value.reference == "bad-adapter"


def test_whole_tensors_cannot_be_scaled(encodings: Path) -> None:
    adapter = open_adapter(f"{encodings / 'lora-modules-to-save'}=0.5").adapter
    with pytest.raises(UsageError) as caught:
        MergedCheckpoint(Checkpoint(LocalFolder(encodings / "lora-base"), "base"), [adapter])
    assert caught.value.reference == "scaled-whole-tensors"


@pytest.mark.parametrize("case", ["lora-dora", "lora-modules-to-save", "lora-trainable-tokens"])
def test_a_gguf_adapter_holds_factors_only(case: str, encodings: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        adapter_file(encodings, case, tmp_path)
    assert caught.value.reference == "adapter-needs-merge"


def test_a_gguf_adapter_is_not_quantized(encodings: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        adapter_file(encodings, "lora-plain", tmp_path, "Q4_K_M")
    assert caught.value.reference == "adapter-type"


def test_a_lone_adapter_is_told_from_a_model(encodings: Path) -> None:
    with pytest.raises(UsageError) as caught:
        api.plan(str(encodings / "lora-plain"), api.Options())
    assert "--lora" in str(caught.value.hint)


def test_an_adapter_without_its_base_asks_for_it(encodings: Path, tmp_path: Path) -> None:
    settings = {"base_model_name_or_path": "nowhere"}
    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", settings)
    with pytest.raises(UsageError) as caught:
        api.plan(str(copy), api.Options(adapter_only=True))
    assert caught.value.reference == "no-base"
    options = api.Options(adapter_only=True, base=str(encodings / "lora-base"))
    assert api.plan(str(copy), options).plans[0].arch == "llama"


def opened_as(encodings: Path, repo: str | None) -> Opened:
    base = Checkpoint(LocalFolder(encodings / "lora-base"), "lora-base")
    return Opened(base, repo or str(encodings / "lora-base"), "x", repo)


@pytest.mark.parametrize("declared", ["org/Tiny-1B-Instruct", "org/Tiny-1B-bnb-4bit", "x/tiny-1b"])
def test_another_base_of_the_hub_is_refused(declared: str, encodings: Path, tmp_path: Path) -> None:
    """Quantized copies and other publishers are the same model, a fine-tune of it is another."""
    settings = {"base_model_name_or_path": declared}
    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", settings)
    adapter = open_adapter(str(copy))
    if declared.endswith("Instruct"):
        with pytest.raises(CheckpointError) as caught:
            merge_into(opened_as(encodings, "org/Tiny-1B"), [adapter])
        assert caught.value.reference == "other-base"
    else:
        merge_into(opened_as(encodings, "org/Tiny-1B"), [adapter])


def test_a_folder_of_another_name_is_only_noted(encodings: Path, tmp_path: Path) -> None:
    settings = {"base_model_name_or_path": "org/Tiny-1B"}
    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", settings)
    options = api.Options(types=("Q8_0",), lora=(str(copy),))
    notes = api.plan(str(encodings / "lora-base"), options).notes
    assert any("org/Tiny-1B" in note for note in notes)
    options = api.Options(types=("Q8_0",), lora=(str(encodings / "lora-plain"),))
    assert api.plan(str(encodings / "lora-base"), options).notes == ()


@pytest.mark.parametrize("text", ["no/such/folder", "=0.5"])
def test_what_is_no_adapter_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        open_adapter(text)


def test_a_scale_is_a_number(encodings: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_adapter(f"{encodings / 'lora-plain'}=much")
    assert caught.value.reference == "bad-scale"


def test_an_adapter_does_not_go_into_a_gguf_file(encodings: Path, tmp_path: Path) -> None:
    base = str(encodings / "lora-base")
    (file,) = api.convert(base, api.Options(types=("F32",), output=tmp_path, jobs=1)).files
    with pytest.raises(UsageError) as caught:
        api.plan(str(file.path), api.Options(lora=(str(encodings / "lora-plain"),)))
    assert caught.value.reference == "adapter-on-gguf"


def test_the_factor_that_every_task_holds_is_counted(encodings: Path) -> None:
    options = api.Options(types=("Q8_0",), lora=(str(encodings / "lora-plain"),))
    (plan,) = api.plan(str(encodings / "lora-base"), options).plans
    held = {tensor.name: tensor.held for tensor in plan.tensors}
    # lora_A of down_proj: 8 x 352 as it is stored, and again as float32.
    assert held["blk.0.ffn_down.weight"] == 2 * 4 * 8 * 352
    assert held["token_embd.weight"] == 0
