"""Qwen3-Reranker is told by its name, and gets a classifier of the rows of "yes" and "no"."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantize import api
from quantize.checkpoints.checkpoint import open_checkpoint
from quantize.errors import CheckpointError
from quantize.planning.from_checkpoint import model_of
from quantize.storage.local import LocalFolder
from quantize.transforms import apply_whole
from tests.support.saved_again import Stored, copied, edit_json, read_tensors, write_tensors

NAME = "Qwen3-Reranker-0.6B"
CARD = f"---\nlibrary_name: transformers\n---\n# {NAME}\n"
ANSWERS = {"yes": 1026, "no": 1027}
# Of the file that convert_hf_to_gguf.py (F32) and llama_model_quantize of xllamacpp 2026.10.11549
# make of this checkpoint under this name.
CONVERTERS = "606712a11c63b1202bc8ff684ad28f487d56a4784db59c84f110a5bbc84a2d20"


@pytest.fixture
def reranker(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A Qwen 3 with tied embeddings whose tokenizer has the two tokens."""
    folder = copied(checkpoint("qwen3-tied"), tmp_path).rename(tmp_path / NAME)
    tensors = weights_of(folder)
    tensors.pop("lm_head.weight")
    save(folder, tensors)
    (folder / "README.md").write_text(CARD, "utf-8")
    added = [
        {"id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": False}
        for token, number in ANSWERS.items()
    ]  # fmt: skip
    edit_json(folder / "tokenizer.json", lambda content: content["added_tokens"].extend(added))
    return folder


def weights_of(folder: Path) -> dict[str, Stored]:
    shards = sorted(folder.glob("*.safetensors"))
    return {name: stored for shard in shards for name, stored in read_tensors(shard).items()}


def save(folder: Path, tensors: dict[str, Stored]) -> None:
    """In one file."""
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.index.json")]:
        path.unlink()
    write_tensors(folder / "model.safetensors", tensors)


def test_the_file_is_llama_cpps(reranker: Path, tmp_path: Path) -> None:
    made = api.convert(str(reranker), api.Options(types=("Q4_K_M",), output=tmp_path / "out"))
    assert hashlib.sha256(made.files[0].path.read_bytes()).hexdigest() == CONVERTERS


@pytest.mark.parametrize(
    ("folder", "card"), [(NAME, ""), ("mine", CARD), ("Qwen3-VL-Reranker", "")]
)
def test_folder_or_card_tell(folder: str, card: str, reranker: Path) -> None:
    (reranker / "README.md").write_text(card, "utf-8")
    model = model_of(open_checkpoint(LocalFolder(reranker), folder))
    assert model.kvs.value("qwen3.pooling_type") == 4
    assert model.kvs.value("qwen3.classifier.output_labels") == ("yes", "no")
    assert "{document}" in str(model.kvs.value("tokenizer.chat_template.rerank"))


@pytest.mark.parametrize("card", ["", "# Qwen3\nBetter than Qwen3-Reranker-0.6B.\n"])
def test_another_name_is_a_language_model(card: str, reranker: Path) -> None:
    (reranker / "README.md").write_text(card, "utf-8")
    model = model_of(open_checkpoint(LocalFolder(reranker), "Qwen3-0.6B"))
    assert model.kvs.value("qwen3.pooling_type") is None
    assert not any(output.name.startswith("cls.") for output in model.outputs)


@pytest.mark.parametrize("head", ["model.embed_tokens.weight", "lm_head.weight"])
def test_the_classifier_is_two_rows_of_the_output_matrix(head: str, reranker: Path) -> None:
    is_tied = head != "lm_head.weight"
    edit_json(reranker / "config.json", lambda config: config.update(tie_word_embeddings=is_tied))
    tensors = weights_of(reranker)
    save(reranker, tensors | {head: tensors["model.embed_tokens.weight"]})
    source = open_checkpoint(LocalFolder(reranker), NAME)
    outputs = {output.name: output for output in model_of(source).outputs}
    classifier = outputs["cls.output.weight"]
    assert classifier.sources == (head,)
    stored = source.decode_rows(head, 0, source.weights[head].shape[0])
    rows = apply_whole(classifier.transform, [stored])
    np.testing.assert_array_equal(rows, stored[[ANSWERS["yes"], ANSWERS["no"]]])
    assert "output.weight" not in outputs


def test_a_tokenizer_without_the_answers_is_refused(
    reranker: Path, checkpoint: Callable[[str], Path]
) -> None:
    shutil.copy(checkpoint("qwen3-tied") / "tokenizer.json", reranker / "tokenizer.json")
    with pytest.raises(CheckpointError, match="'yes'") as caught:
        model_of(open_checkpoint(LocalFolder(reranker), NAME))
    assert caught.value.code == "missing-token"
