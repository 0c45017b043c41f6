"""What an error says about a folder that is nearly a checkpoint leads to one that is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantize import api
from quantize.errors import QuantizeError
from tests.support.saved_again import copied, edit_json, rename_tensors

F16 = api.Options(types=("F16",), jobs=1)


def error_of(folder: Path) -> QuantizeError:
    with pytest.raises(QuantizeError) as caught:
        api.plan(str(folder), F16)
    return caught.value


def test_checkpoints_of_a_trainer_are_named(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "trained"
    for step in (500, 1000):
        shutil.copytree(checkpoint("qwen3-tied"), folder / f"checkpoint-{step}")
    error = error_of(folder)
    assert error.code == "no-config"
    assert error.hint is not None
    assert error.hint.endswith("checkpoint-1000, checkpoint-500")
    shutil.copy(checkpoint("qwen3-tied") / "config.json", folder)
    error = error_of(folder)
    assert error.code == "no-weights"
    assert error.hint is not None
    assert error.hint.endswith("checkpoint-1000, checkpoint-500")


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("qwen2-tied", "Qwen2ForCausalLM"), ("llama2-spm", "LlamaForCausalLM")],
)
def test_an_architecture_is_proposed_by_the_type_of_the_model(
    name: str, architecture: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint(name), tmp_path)
    edit_json(folder / "config.json", lambda config: config.pop("architectures"))
    error = error_of(folder)
    assert error.code == "unknown-architecture"
    assert "names no architecture" in error.message
    assert error.hint is not None
    assert error.hint.startswith(f"--arch {architecture} ")


def test_a_wrong_vocab_size_is_corrected(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(checkpoint("llama31-bpe"), tmp_path)
    rows = json.loads((folder / "config.json").read_text("utf-8"))["vocab_size"]
    edit_json(folder / "config.json", lambda config: config.update(vocab_size=rows + 8))
    error = error_of(folder)
    assert error.code == "vocabulary-mismatch"
    assert error.hint is not None
    assert error.hint.endswith(f"correct vocab_size in config.json to {rows}")
    edit_json(folder / "config.json", lambda config: config.update(vocab_size=rows))
    assert api.plan(str(folder), F16).plans


def add_tokens(tokenizer: dict[str, Any]) -> None:
    size = len(tokenizer["model"]["vocab"]) + len(tokenizer["added_tokens"])
    tokenizer["added_tokens"] += [
        {"id": token_id, "content": f"<new{token_id}>", "special": True}
        for token_id in range(size, size + 200)
    ]


def test_tokens_without_rows_are_not_blamed_on_config_json(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("llama31-bpe"), tmp_path)
    edit_json(folder / "tokenizer.json", add_tokens)
    edit_json(folder / "config.json", lambda config: config.update(vocab_size=2048))
    error = error_of(folder)
    assert error.code == "vocabulary-mismatch"
    assert error.hint is not None
    assert error.hint.startswith("take the tokenizer files of this very checkpoint")


def test_no_pre_is_proposed_for_a_sentencepiece_tokenizer(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without merges to make scores of, nothing is left to try but the original's files."""
    folder = copied(checkpoint("phi3-longrope"), tmp_path)
    (folder / "tokenizer.model").unlink()
    edit_json(folder / "tokenizer.json", lambda it: it["model"].update(byte_fallback=False))
    error = error_of(folder)
    assert error.code == "unknown-pre-tokenizer"
    assert error.hint is not None
    assert "--pre fits" in error.hint
    assert "tokenizer.model" in error.hint


def test_the_files_that_are_missing_are_listed(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("gemma2"), tmp_path)
    for file in ("tokenizer.model", "tokenizer.json"):
        (folder / file).unlink()
    error = error_of(folder)
    assert error.code == "unknown-tokenizer"
    assert error.hint is not None
    assert "tokenizer.model, tokenizer_config.json, added_tokens.json" in error.hint


@pytest.mark.parametrize("name", ["gemma4", "xlmr"])
def test_a_note_tells_of_tokens_that_the_converter_has_otherwise(
    name: str, checkpoint: Callable[[str], Path]
) -> None:
    told = {}
    for strict in (True, False):
        options = api.Options(types=("F16",), jobs=1, strict_parity=strict)
        notes = api.plan(str(checkpoint(name)), options).notes
        told[strict] = [note for note in notes if "added tokens are those" in note]
    assert (len(told[True]), len(told[False])) == (0, 1)


def test_shards_are_counted_by_their_names(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("llama-sharded-mixed"), tmp_path)
    (folder / "model.safetensors.index.json").unlink()
    assert api.plan(str(folder), F16).plans
    (folder / "model-00002-of-00003.safetensors").unlink()
    error = error_of(folder)
    assert error.code == "missing-shards"
    assert "of 3 files, 2 are there; missing: 2" in error.message


def test_an_output_matrix_that_was_lost_is_missed(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("llama31-bpe"), tmp_path)
    rename_tensors(folder, lambda name: None if "lm_head" in name else name)
    error = error_of(folder)
    assert (error.code, error.where) == ("missing-tensors", "lm_head.weight")
    (folder / "modules.json").write_text("[]", "utf-8")
    assert api.plan(str(folder), F16).plans, "a model of sentence-transformers has no use for it"
    (folder / "modules.json").unlink()
    edit_json(folder / "config.json", lambda config: config.update(tie_word_embeddings=True))
    assert api.plan(str(folder), F16).plans, "what the hint says"
