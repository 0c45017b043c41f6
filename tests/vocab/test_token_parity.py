"""llama.cpp cuts text into the ids that the source tokenizer gives, through our file.

The engine is llama.cpp in the wheel of xllamacpp, the reference the tokenizers library on the
kit's tokenizer.json.
Where the two differ for a reason that no key-value of llama.cpp can say, the reason stands in
LIMITS, and the test wants exactly those texts to differ.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from quantize import api
from quantize.evaluation import llama as llama_cpp
from quantize.formats.kv import KeyValues
from tests.support.saved_again import copied, edit_json
from tests.support.vocab_files import Made, built, kit_files

# One model for each tokenizer of the kit.
MODELS = (
    "bert", "command-r", "deepseek2-8x", "deepseek3", "ernie4_5", "exaone4", "falcon-mq", "gemma2",
    "gemma3-text", "gemma4", "glm4", "glm4moe", "gpt2", "gptneox", "gptoss", "granite", "lfm2",
    "llama2-spm", "llama31-bpe", "mistral-spm", "olmo2", "phi2", "phi3-longrope", "qwen2-tied",
    "qwen3-tied", "smollm2-tied", "smollm3", "stablelm2", "starcoder2", "xlmr",
)  # fmt: skip

CORPUS = {
    "prose": "Hello, World! It's me; I'LL be there. We've eaten. (Don't!)",
    "code": "def foo(x):\n    return [x**2 for _ in range(10)]  # ok\n\n\tif a != b: {c}\r\n",
    "numbers": "12345 1,000,000 3.14159 0x1F 1e-10 v1.2.3 $5.00 7 42 2024-01-02",
    "other numbers": "\u00b2\u00b3 \u00bd \u2167 \u0663\u0664",
    "case": "camelCaseWord XMLHttpRequest iPhone ABCdef don't CAN'T",
    "paths": "/usr/lib//x a/b/ C:\\x\\y https://a.b/c?d=e&f#g",
    "latin": "Caf\u00e9 na\u00efve \u00c5ngstr\u00f6m stra\u00dfe \u0130stanbul",
    "cyrillic": "\u0420\u043e\u0441\u0441\u0438\u044f \u0438 \u041c\u0438\u0440",
    "greek": "\u03b1\u03b2\u03b3 \u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1",
    "hebrew": "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "arabic": "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "hindi": "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e",
    "thai": "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "chinese": "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002",
    "japanese": "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8",
    "korean": "\ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8",
    "emoji": "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1fa\U0001f1f8 \u2764",
    "control": "a\x01b\x7fc\u200bd\u00ade",
    "wide spaces": "a\u00a0b\u3000c\u2003d",
    "lines": "a\n\n\nb\r\n\r\nc \n d\t\n",
    "spaces": "a  b   c        d" + " " * 33 + "e",
    "leading space": "  lead",
    "trailing space": "trail   ",
    "combining": "e\u0301\u0301 x\u0323\u0307",
}
SPECIAL = "one{0}two {0} three{0}{0}"

# llama.cpp strips white space after Phi-3's tokens only in a model that is called so.
NAMES = {"phi3-longrope": "phi-3"}

COMPOSES = {"combining": "llama.cpp does not compose characters (NFC)"}
RANKS_SPACES = dict.fromkeys(
    ("spaces", "\u2581" * 3), "SentencePiece and merges rank runs of spaces differently"
)
LIMITS: dict[str, dict[str, str]] = {
    "bert": {"korean": "llama.cpp does not decompose Hangul (NFD)"},
    "command-r": COMPOSES,
    "exaone4": COMPOSES,
    "gemma2": RANKS_SPACES,
    "gemma3-text": RANKS_SPACES,
    "gptneox": COMPOSES,
    "qwen2-tied": COMPOSES,
    "qwen3-tied": COMPOSES,
}


# Those whose tokenizer was SentencePiece, as BPE or Unigram.
PIECES = (
    "ernie4_5", "gemma2", "gemma3-text", "gemma4", "llama2-spm", "mistral-spm", "phi3-longrope",
    "xlmr",
)  # fmt: skip
MODEL_FILES = ("tokenizer.model", "sentencepiece.bpe.model", "spiece.model")
OLDER_FILES = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt")

# The key-values that decide which ids a text gets.
DECIDING = ("model", "pre", "tokens", "scores", "token_type", "merges", "add_space_prefix")


@pytest.mark.parametrize("name", MODELS)
def test_ids_equal_those_of_the_source_tokenizer(
    name: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    assert differing(name, checkpoint(name), tmp_path) == {*LIMITS.get(name, {})}


@pytest.mark.parametrize("name", PIECES)
def test_ids_equal_with_tokenizer_json_alone(
    name: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = saved_by_transformers_5(checkpoint(name), tmp_path, dropped=MODEL_FILES)
    assert differing(name, folder, tmp_path / "out") == {*LIMITS.get(name, {})}


@pytest.mark.parametrize("name", sorted({*MODELS} - {*PIECES}))
def test_tokenizer_json_alone_says_all_of_a_tokenizer_without_pieces(
    name: str, kit: Path, tmp_path: Path
) -> None:
    """With the same key-values the ids are those of the test of the files as they are."""
    files = kit_files(kit, name)
    kept = {*files.names()} - {*OLDER_FILES, "vocab.txt"}
    newer: dict[str, Any] = {file: files.read(file) for file in kept}
    config = json.loads(newer["tokenizer_config.json"])
    as_saved_by_transformers_5(config)
    newer["tokenizer_config.json"] = config
    assert deciding(built(Made(newer))) == deciding(built(files))


def deciding(kvs: KeyValues) -> dict[str, object]:
    return {key: kvs.value(f"tokenizer.ggml.{key}") for key in DECIDING}


@pytest.mark.parametrize("name", PIECES)
def test_ids_equal_with_tokenizer_model_beside_newer_json(
    name: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = saved_by_transformers_5(checkpoint(name), tmp_path)
    assert differing(name, folder, tmp_path / "out") == {*LIMITS.get(name, {})}


def saved_by_transformers_5(checkpoint: Path, parent: Path, dropped: tuple[str, ...] = ()) -> Path:
    """A copy whose added tokens are in tokenizer.json alone."""
    folder = copied(checkpoint, parent)
    for file in (*OLDER_FILES, *dropped):
        (folder / file).unlink(missing_ok=True)
    edit_json(folder / "tokenizer_config.json", as_saved_by_transformers_5)
    return folder


def as_saved_by_transformers_5(config: dict[str, Any]) -> None:
    config.pop("added_tokens_decoder", None)
    config["backend"] = "tokenizers"


def differing(name: str, folder: Path, output: Path) -> set[str]:
    """The titles of the texts that llama.cpp and the tokenizers library cut differently."""
    reference = Tokenizer.from_str(json.dumps(source_tokenizer(folder)))
    added = (token.content for token in reference.get_added_tokens_decoder().values())
    # A mark for a space stands for a space in the text, too.
    special = {
        text: SPECIAL.format(text if text.strip("\u2581") else " " * len(text)) for text in added
    }
    texts = {**CORPUS, **special}
    options = api.Options(types=("F16",), output=output, jobs=1, name=NAMES.get(name))
    file = api.convert(str(folder), options).files[0]
    found = llama_cpp_ids(file.path, texts)
    expected = {
        title: reference.encode(text, add_special_tokens=False).ids for title, text in texts.items()
    }
    return {title for title in texts if found[title] != expected[title]}


def source_tokenizer(folder: Path) -> dict[str, Any]:
    """tokenizer.json without padding, and without a first space that the config denies."""
    tokenizer: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    normalizer = tokenizer["normalizer"] or {}
    if config.get("add_prefix_space") is False and "normalizers" in normalizer:
        kept = [part for part in normalizer["normalizers"] if part["type"] != "Prepend"]
        normalizer = {**normalizer, "normalizers": kept}
    return {**tokenizer, "normalizer": normalizer or None, "truncation": None, "padding": None}


def llama_cpp_ids(file: Path, texts: dict[str, str]) -> dict[str, list[int]]:
    llama = llama_cpp.load()
    model = llama.model_load_from_file(bytes(file), llama.model_default_params())
    assert model, [*llama.complaints]
    try:
        vocab = llama.model_get_vocab(model)
        return {title: tokenize(llama, vocab, text.encode()) for title, text in texts.items()}
    finally:
        llama.model_free(model)


def tokenize(llama: llama_cpp.Llama, vocab: int, text: bytes) -> list[int]:
    ids = (ctypes.c_int32 * (len(text) + 8))()
    add_special, parse_special = False, True
    count = llama.tokenize(vocab, text, len(text), ids, len(ids), add_special, parse_special)
    assert count >= 0
    return ids[:count]
