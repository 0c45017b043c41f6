"""The token parity test, for tokenizers that the kit has no model with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cousins import Cousin, cousin
from tests.support.saved_again import copied, edit_json
from tests.vocab.test_token_parity import (
    LIMITS,
    MODEL_FILES,
    differing,
    saved_by_transformers_5,
)

__all__ = ["cousin"]

GAPS = [f"<extra_id_{number}>" for number in range(3)]


@pytest.fixture
def t5(cousin: Callable[[str], Cousin], kit: Path, tmp_path: Path) -> Path:
    """A T5 with the pieces of the kit's XLM-R, as T5Tokenizer of transformers 5 saves it."""
    folder = copied(cousin("t5").checkpoint, tmp_path)
    source = kit / "tokenizers" / "unigram-xlmr"
    tokenizer = json.loads((source / "tokenizer.json").read_text("utf-8"))
    model = tokenizer["model"]
    # XLM-R's four tokens of fairseq and <mask> around the pieces; SentencePiece's three before.
    model["vocab"] = [
        *([text, 0.0] for text in ("<unk>", "<s>", "</s>")),
        *model["vocab"][4:-1],
        *([text, 0.0] for text in reversed(GAPS)),
    ]
    model["unk_id"] = 0
    added = [model["vocab"].index([text, 0.0]) for text in ("<unk>", "</s>", *GAPS)]
    tokenizer["added_tokens"] = [
        {"id": token_id, "content": model["vocab"][token_id][0], "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for token_id in added
    ]
    end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    tokenizer["post_processor"] |= {
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, end],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, end],
    }
    for file in folder.glob("*token*"):
        file.unlink()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    config = {"backend": "tokenizers", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "spiece.model").write_bytes((source / "sentencepiece.bpe.model").read_bytes())
    return folder


def test_t5_with_tokenizer_json_alone(t5: Path, tmp_path: Path) -> None:
    (t5 / "spiece.model").unlink()
    assert differing("t5", t5, tmp_path / "out") == set()


def test_t5_with_pieces_and_older_json(t5: Path, tmp_path: Path) -> None:
    """The tokens of gaps are no pieces, and no file but tokenizer.json has their ids."""
    edit_json(t5 / "tokenizer_config.json", lambda config: config.pop("backend"))
    assert differing("t5", t5, tmp_path / "out") == set()


def test_t5_with_pieces_beside_newer_json(t5: Path, tmp_path: Path) -> None:
    assert differing("t5", t5, tmp_path / "out") == set()


@pytest.mark.parametrize("name", ["mistral-spm", "gemma2", "ernie4_5", "phi3-longrope"])
@pytest.mark.parametrize("dropped", [(), MODEL_FILES], ids=["beside pieces", "alone"])
def test_files_that_transformers_5_saved(
    name: str,
    dropped: tuple[str, ...],
    checkpoint: Callable[[str], Path],
    resaved: Path,
    tmp_path: Path,
) -> None:
    folder = saved_by_transformers_5(checkpoint(name), tmp_path, dropped)
    for file in (resaved / name).iterdir():
        shutil.copy(file, folder / file.name)
    assert differing(name, folder, tmp_path / "out") == {*LIMITS.get(name, {})}


def test_a_bert_with_the_tokens_of_xlm_r(
    checkpoint: Callable[[str], Path], kit: Path, tmp_path: Path
) -> None:
    """As sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2 has them."""
    folder = copied(checkpoint("bert"), tmp_path)
    for file in ("vocab.txt", "special_tokens_map.json"):
        (folder / file).unlink(missing_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(kit / "tokenizers" / "unigram-xlmr" / file, folder)
    assert differing("bert", folder, tmp_path / "out") == set()


def test_xverse(cousin: Callable[[str], Cousin], tmp_path: Path) -> None:
    assert differing("xverse", cousin("xverse").checkpoint, tmp_path) == set()


def test_a_space_before_the_first_text_only(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """As LlamaTokenizer of transformers 5 saves it. llama.cpp has one key for all texts.

    It puts a space in front of what follows a special token, too, and of a text that has one.
    """
    folder = saved_by_transformers_5(checkpoint("llama2-spm"), tmp_path, dropped=MODEL_FILES)
    first = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}
    edit_json(
        folder / "tokenizer.json",
        lambda it: it.update(normalizer=None, pre_tokenizer={**first, "split": False}),
    )
    expected = {"leading space", "<unk>", "<s>", "</s>"}
    assert differing("llama2-spm", folder, tmp_path / "out") == expected
