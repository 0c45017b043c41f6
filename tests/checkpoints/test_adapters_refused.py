"""Adapters that would be merged or written wrongly, and bases that are not theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from quantize import api
from quantize.checkpoints.adapters.merged import MergedCheckpoint
from quantize.checkpoints.checkpoint import Checkpoint, open_checkpoint
from quantize.errors import CheckpointError, QuantizeError, UnsupportedError, UsageError
from quantize.sources.adapters import merge_into, open_adapter
from quantize.sources.opening import OpenedAs
from quantize.storage.local import LocalFolder
from tests.support.adapters import adapter_file, edited_copy, merged

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
}  # fmt: skip  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_be_merged_wrongly_is_refused(
    what: str, encodings: Path, tmp_path: Path
) -> None:
    case, settings, kind, reference = REFUSED[what]
    copy = edited_copy(encodings / case, tmp_path / "copy", settings)
    with pytest.raises(kind) as caught:
        merged(encodings, "lora-base", copy)
    assert caught.value.code == reference
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
    assert shapes.value.code == "adapter-mismatch"
    with pytest.raises(CheckpointError) as names:
        merged(encodings, "lora-gpt2-base", "lora-plain")
    assert names.value.code == "adapter-without-base"


def test_half_a_pair_is_refused(encodings: Path, tmp_path: Path) -> None:
    def halve(tensors: dict[str, NDArray[Any]]) -> None:
        tensors.pop("base_model.model.model.layers.0.mlp.down_proj.lora_B.weight")

    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", None, halve)
    with pytest.raises(CheckpointError) as caught:
        merged(encodings, "lora-base", copy)
    assert caught.value.code == "bad-adapter"


def test_whole_tensors_cannot_be_scaled(encodings: Path) -> None:
    adapter = open_adapter(f"{encodings / 'lora-modules-to-save'}=0.5").adapter
    with pytest.raises(UsageError) as caught:
        MergedCheckpoint(open_checkpoint(LocalFolder(encodings / "lora-base"), "base"), [adapter])
    assert caught.value.code == "scaled-whole-tensors"


@pytest.mark.parametrize("case", ["lora-dora", "lora-modules-to-save", "lora-trainable-tokens"])
def test_a_gguf_adapter_holds_factors_only(case: str, encodings: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        adapter_file(encodings, case, tmp_path)
    assert caught.value.code == "adapter-needs-merge"


def test_a_gguf_adapter_is_not_quantized(encodings: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        adapter_file(encodings, "lora-plain", tmp_path, "Q4_K_M")
    assert caught.value.code == "adapter-type"


@pytest.mark.parametrize("budget", [{"target_size": "1GB"}, {"bits": 4}])
def test_types_are_not_chosen_for_the_size_of_an_adapter(
    encodings: Path, budget: dict[str, Any]
) -> None:
    options = api.Options(adapter_only=True, **budget)
    with pytest.raises(UsageError) as caught:
        api.plan(str(encodings / "lora-plain"), options)
    assert (caught.value.code, caught.value.where) == (
        "budget-of-adapter",
        "--target-size 1GB" if "target_size" in budget else "--bits 4",
    )


def test_a_lone_adapter_is_told_from_a_model(encodings: Path) -> None:
    with pytest.raises(UsageError) as caught:
        api.plan(str(encodings / "lora-plain"), api.Options())
    assert "--lora" in str(caught.value.hint)


def test_an_adapter_without_its_base_asks_for_it(encodings: Path, tmp_path: Path) -> None:
    settings = {"base_model_name_or_path": "nowhere"}
    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", settings)
    with pytest.raises(UsageError) as caught:
        api.plan(str(copy), api.Options(adapter_only=True))
    assert caught.value.code == "no-base"
    options = api.Options(adapter_only=True, base=str(encodings / "lora-base"))
    assert api.plan(str(copy), options).plans[0].arch == "llama"


def opened_as(encodings: Path, repo: str | None) -> OpenedAs[Checkpoint]:
    base = open_checkpoint(LocalFolder(encodings / "lora-base"), "lora-base")
    return OpenedAs(base, repo or str(encodings / "lora-base"), "x", repo)


@pytest.mark.parametrize("declared", ["org/Tiny-1B-Instruct", "org/Tiny-1B-bnb-4bit", "x/tiny-1b"])
def test_another_base_of_the_hub_is_refused(declared: str, encodings: Path, tmp_path: Path) -> None:
    """Quantized copies and other publishers are the same model, a fine-tune of it is another."""
    settings = {"base_model_name_or_path": declared}
    copy = edited_copy(encodings / "lora-plain", tmp_path / "copy", settings)
    adapter = open_adapter(str(copy))
    if declared.endswith("Instruct"):
        with pytest.raises(CheckpointError) as caught:
            merge_into(opened_as(encodings, "org/Tiny-1B"), [adapter])
        assert caught.value.code == "other-base"
    else:
        merge_into(opened_as(encodings, "org/Tiny-1B"), [adapter])


@pytest.mark.parametrize("text", ["no/such/folder", "=0.5"])
def test_what_is_no_adapter_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        open_adapter(text)


def test_a_scale_is_a_number(encodings: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_adapter(f"{encodings / 'lora-plain'}=much")
    assert caught.value.code == "bad-scale"


def test_an_adapter_does_not_go_into_a_gguf_file(encodings: Path, tmp_path: Path) -> None:
    base = str(encodings / "lora-base")
    (file,) = api.convert(base, api.Options(types=("F32",), output=tmp_path, jobs=1)).files
    with pytest.raises(UsageError) as caught:
        api.plan(str(file.path), api.Options(lora=(str(encodings / "lora-plain"),)))
    assert caught.value.code == "adapter-on-gguf"
