"""Damaged tokenizer files are refused with an error that says which file and why."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import pytest

from quantize.errors import CheckpointError, QuantizeError, UnsupportedError
from quantize.vocab import VocabHints, build
from tests.support.vocab_files import BPE_HINTS, BYTE_LEVEL, Made, tekken, tokenizer


def changed(model: dict[str, Any]) -> dict[str, Any]:
    return tokenizer(model={**tokenizer()["model"], **model})


def added(*tokens: Any) -> dict[str, Any]:
    return tokenizer(added_tokens=list(tokens))


def pieces(**changes: Any) -> dict[str, Any]:
    """A tokenizer.json of SentencePiece BPE, its model changed."""
    model = {"type": "BPE", "byte_fallback": True, "vocab": {"a": 0, "b": 1, "ab": 2}}
    return tokenizer(model=model | changes, decoder={"type": "Sequence"}, added_tokens=[])


HOSTILE: list[tuple[str, Any, str]] = [
    ("not JSON", "{", "bad-tokenizer-file"),
    ("not UTF-8", b"\xff\xfe", "bad-tokenizer-file"),
    ("a list", [], "bad-tokenizer-file"),
    ("nested too deep", "[" * 100_000, "bad-tokenizer-file"),
    ("no vocabulary", changed({"vocab": None}), "bad-tokenizer-file"),
    ("an empty vocabulary", changed({"vocab": {}}), "bad-tokenizer-file"),
    ("an id that is text", changed({"vocab": {"a": "0"}}), "bad-tokenizer-file"),
    ("an id that is a truth value", changed({"vocab": {"a": True}}), "bad-tokenizer-file"),
    ("a negative id", changed({"vocab": {"a": -1}}), "bad-tokenizer-file"),
    ("two tokens with one id", changed({"vocab": {"a": 0, "b": 0}}), "duplicate-token-id"),
    ("a huge id", changed({"vocab": {"a": 0, "b": 2**40}}), "token-id-out-of-range"),
    ("an id beyond the end", changed({"vocab": {"a": 9}}), "token-id-out-of-range"),
    ("a merge of three", changed({"merges": [["a", "b", "c"]]}), "bad-tokenizer-file"),
    ("a merge that is a number", changed({"merges": [1]}), "bad-tokenizer-file"),
    ("an added token without text", added({"id": 5}), "bad-tokenizer-file"),
    ("an added token without id", added({"content": "x"}), "bad-tokenizer-file"),
    ("a huge added id", added({"id": 2**40, "content": "x"}), "token-id-out-of-range"),
    ("an added id that is taken", added({"id": 0, "content": "x"}), "duplicate-token-id"),
    (
        "two added tokens with one id",
        added({"id": 5, "content": "x"}, {"id": 5, "content": "y"}),
        "duplicate-token-id",
    ),
]


# What only the loader of SentencePiece or of Unigram asks for.
NO_SCORES: list[tuple[str, str, dict[str, Any]]] = [
    ("no merges", "spm-json", pieces(merges=[])),
    ("merges that are null", "spm-json", pieces(merges=None)),
    ("pieces without scores", "unigram", pieces(type="Unigram", vocab=["a"])),
    ("no pieces", "t5", pieces(type="Unigram", vocab=None)),
]


@pytest.mark.parametrize(
    ("loader", "content"), [row[1:] for row in NO_SCORES], ids=[row[0] for row in NO_SCORES]
)
def test_a_tokenizer_that_says_no_scores_is_refused(loader: str, content: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        build(Made({"tokenizer.json": content}), 8, VocabHints(loaders=(loader,)))
    assert caught.value.code == "bad-tokenizer-file"
    assert caught.value.where == "tokenizer.json"


@pytest.mark.parametrize(
    ("content", "reference"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_a_damaged_tokenizer_json_is_refused(content: Any, reference: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        build(Made({"tokenizer.json": content}), 8, BPE_HINTS)
    assert caught.value.code == reference
    assert caught.value.where == "tokenizer.json"


JUNK: tuple[Any, ...] = (
    None,
    7,
    -1,
    2**70,
    True,
    1.5,
    "x",
    [],
    [7],
    {},
    {"type": 7},
    {"type": []},
    {"content": 7},
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, part in items:
        yield from paths(part, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copied = copy(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], by)
    return copied


def outcome(files: Made) -> str:
    try:
        kvs = build(files, 8, BPE_HINTS)
    except QuantizeError as error:
        return "an error with a place and a reason" if error.where and error.reason else str(error)
    return f"{kvs[0].value} with {len(kvs[2].value)} tokens"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_anywhere_ends_in_an_answer_or_an_error_of_ours(name: str, junk: Any) -> None:
    special = {"SpecialToken": {"id": "<end>"}}
    single = {"type": "TemplateProcessing", "single": [special, {"Sequence": {"id": "A"}}]}
    post = {
        **single,
        "pair": [special, {"Sequence": {"id": "A"}}, special, {"Sequence": {"id": "B"}}],
    }
    files: dict[str, Any] = {
        "tokenizer.json": tokenizer(
            normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]},
            pre_tokenizer={"type": "Sequence", "pretokenizers": [BYTE_LEVEL]},
            decoder={"type": "Sequence", "decoders": [{"type": "ByteLevel"}]},
            post_processor={"type": "Sequence", "processors": [post]},
        ),
        "tokenizer_config.json": {
            "bos_token": {"content": "<end>"},
            "eos_token": "<end>",
            "additional_special_tokens": ["<end>"],
            "added_tokens_decoder": {"5": {"content": "<end>", "special": True}},
            "chat_template": [{"name": "default", "template": "x"}],
        },
        "config.json": {"eos_token_id": 5, "text_config": {"bos_token_id": 5}},
    }
    assert build(Made(files), 8, BPE_HINTS)[0].value == "gpt2"
    for path in paths(files[name]):
        broken = Made({**files, name: replaced(files[name], path, junk)})
        assert outcome(broken) in ("gpt2 with 8 tokens", "an error with a place and a reason"), path


@pytest.mark.parametrize("part", ["decoder", "post_processor", "normalizer"])
@pytest.mark.parametrize("content", [[], 7, "x", {"single": 7, "pair": [7], "processors": [7]}])
def test_parts_that_are_no_parts_change_nothing(part: str, content: Any) -> None:
    odd, plain = (
        build(Made({"tokenizer.json": tokenizer(**change)}), None, BPE_HINTS)
        for change in ({part: content}, {})
    )
    assert odd[2] == plain[2]


def test_a_vocab_size_that_no_tokenizer_has_is_refused() -> None:
    with pytest.raises(CheckpointError, match="a vocabulary of 1099511627776 tokens"):
        build(Made({"tokenizer.json": tokenizer()}), 2**40, BPE_HINTS)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\x0a\xff\xff\xff\xff\x0f"])
def test_a_damaged_tokenizer_model_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        build(Made({"tokenizer.model": content}), 8, VocabHints(loaders=("spm",)))
    assert (caught.value.code, caught.value.where) == ("bad-tokenizer-file", "tokenizer.model")


def test_a_checkpoint_without_a_tokenizer_is_unsupported() -> None:
    with pytest.raises(UnsupportedError) as caught:
        build(Made({"vocab.txt": "a"}), 8, VocabHints(loaders=("spm", "bpe")))
    assert caught.value.code == "unknown-tokenizer"
    assert caught.value.where == "vocab.txt"
    assert caught.value.reason == "looked for: spm, bpe"


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {}},
        {"config": {"default_vocab_size": 2, "default_num_special_tokens": 4}},
        {"vocab": []},
        {"vocab": tekken()["vocab"][:-2] + [{"token_bytes": "?"}] * 2},
        {
            "vocab": tekken()["vocab"][:-2]
            + [{"token_bytes": b64encode(b"\x00\x01\x02").decode()}] * 2
        },
    ],
)
def test_a_damaged_tekken_json_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        build(Made({"tekken.json": tekken(**changes)}), None, VocabHints(loaders=("tekken",)))
    assert (caught.value.code, caught.value.where) == ("bad-tokenizer-file", "tekken.json")


def test_vocab_json_of_an_unknown_tokenizer_class_is_refused() -> None:
    files = {"vocab.json": {"a": 0}, "tokenizer_config.json": {"tokenizer_class": "MyTokenizer"}}
    with pytest.raises(CheckpointError) as caught:
        build(Made(files), 1, BPE_HINTS)
    assert caught.value.where == "tokenizer_config.json"
    assert 'tokenizer_class "MyTokenizer"' in (caught.value.reason or "")


def test_pieces_are_read_whatever_the_architecture_expects() -> None:
    """A SentencePiece tokenizer.json where byte-level BPE was looked for, unless told otherwise."""
    made = Made({"tokenizer.json": pieces(merges=[["a", "b"]])})
    assert build(made, 3, BPE_HINTS).value("tokenizer.ggml.model") == "llama"
    chosen = build(made, 3, VocabHints(loaders=("bpe",), pre="gpt-2"))
    assert chosen.value("tokenizer.ggml.model") == "gpt2"
