"""Tokenizer key-values against llama.cpp's for every kit model, and the rules behind them."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from quantize.architectures import ARCHITECTURES
from quantize.errors import CheckpointError, UnsupportedError
from quantize.formats.kv import KV, boolean, u32
from quantize.vocab import LOADERS, VocabHints, build, end_tokens, merged
from quantize.vocab.decoding import BYTE_OF_LETTER, decode
from quantize.vocab.proto import BPE, UNIGRAM, read_spec
from tests.kit_models import MODELS
from tests.vocab_files import Folders, Made, difference, kit_files

BPE_HINTS = VocabHints(loaders=("bpe",))
BYTE_LEVEL: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def kit_kvs(kit: Path, model: str) -> tuple[Folders, list[KV]]:
    files = kit_files(kit, model)
    config = json.loads(files.read("config.json") or b"")
    family = ARCHITECTURES[config["architectures"][0]]
    hints = VocabHints(
        loaders=family.vocab,
        arch_name=family.arch,
        token_types=config.get("type_vocab_size"),
        **family.vocab_options,
    )
    text = config.get("text_config", {})
    return files, build(files, config.get("vocab_size") or text.get("vocab_size"), hints)


@pytest.mark.parametrize("name", MODELS)
def test_key_values_equal_those_of_llama_cpp(name: str, kit: Path) -> None:
    expected = json.loads((kit / "expected" / f"{name}.json").read_text())["kv"]
    expected = [kv for kv in expected if kv["key"].startswith("tokenizer.")]
    _, kvs = kit_kvs(kit, name)
    assert [kv.key for kv in kvs] == [kv["key"] for kv in expected]
    assert [difference(*pair) for pair in zip(expected, kvs, strict=True)] == [None] * len(kvs)


@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_can_be_loaded(name: str) -> None:
    assert callable(LOADERS[name])


def tokenizer(**changes: Any) -> dict[str, Any]:
    """A tokenizer.json of byte-level BPE with five tokens and two added ones."""
    return {
        "normalizer": None,
        "pre_tokenizer": BYTE_LEVEL,
        "decoder": {"type": "ByteLevel"},
        "post_processor": None,
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "\u0120": 4},
            "merges": ["a b"],
        },
        "added_tokens": [
            {"id": 5, "content": "<end>", "normalized": False, "special": True},
            {"id": 6, "content": "two words", "normalized": True, "special": False},
        ],
    } | changes


def values(files: Made, size: int | None = None, hints: VocabHints = BPE_HINTS) -> dict[str, Any]:
    return {kv.key.removeprefix("tokenizer."): kv.value for kv in build(files, size, hints)}


def test_missing_tokens_are_padded_up_to_the_embedding() -> None:
    found = values(Made({"tokenizer.json": tokenizer()}), size=9)
    assert found["ggml.tokens"][5:] == (b"<end>", b"two words", b"[PAD7]", b"[PAD8]")
    assert found["ggml.token_type"][4:] == (1, 3, 4, 5, 5)


@pytest.mark.parametrize("spelling", [["a b", "\u0120 c"], [["a", "b"], [" ", "c"]]])
def test_both_spellings_of_merges_are_one(spelling: list[Any]) -> None:
    model = {**tokenizer()["model"], "merges": spelling}
    found = values(Made({"tokenizer.json": tokenizer(model=model)}))
    assert found["ggml.merges"] == ("a b", "\u0120 c")


def test_merges_come_from_merges_txt_when_tokenizer_json_has_none() -> None:
    model = {**tokenizer()["model"], "merges": []}
    files = {"tokenizer.json": tokenizer(model=model), "merges.txt": "#version: 0.2\na b\nb c d\n"}
    assert values(Made(files))["ggml.merges"] == ("a b",)


def test_tokenizer_config_overrules_the_flags_of_added_tokens() -> None:
    decoder = {"6": {"content": "two words", "special": True, "normalized": False}}
    files = {
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": {"added_tokens_decoder": decoder},
    }
    assert values(Made(files))["ggml.token_type"][6] == 3


def test_config_json_fills_in_ids_that_tokenizer_config_does_not_name() -> None:
    files = {
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": {"eos_token": {"content": "<end>"}},
        "config.json": {"eos_token_id": 0, "bos_token_id": 1, "pad_token_id": -1},
    }
    found = values(Made(files))
    assert (found["ggml.eos_token_id"], found["ggml.bos_token_id"]) == (5, 1)
    assert "ggml.padding_token_id" not in found, "a negative id means none"


def test_the_text_part_of_a_multimodal_config_names_ids_too() -> None:
    files = {"tokenizer.json": tokenizer(), "config.json": {"text_config": {"eos_token_id": 5}}}
    assert values(Made(files))["ggml.eos_token_id"] == 5


def test_an_end_in_the_template_becomes_eos_and_the_former_one_eot() -> None:
    post = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<end>"}}],
        "pair": [],
    }
    added = [*tokenizer()["added_tokens"], {"id": 7, "content": "<old>", "special": True}]
    files = {
        "tokenizer.json": tokenizer(post_processor=post, added_tokens=added),
        "tokenizer_config.json": {"eos_token": "<old>"},
    }
    found = values(Made(files))
    assert (found["ggml.eos_token_id"], found["ggml.eot_token_id"]) == (5, 7)
    assert found["ggml.add_eos_token"] is True


def test_roberta_adds_everything() -> None:
    post = {"type": "RobertaProcessing", "cls": ["<end>", 5], "sep": ["<end>", 5]}
    files = {"tokenizer.json": tokenizer(post_processor=post), "tokenizer_config.json": {"x": 1}}
    found = values(Made(files))
    assert found["ggml.pre"] == "roberta-bpe"
    assert [found[f"ggml.add_{kind}_token"] for kind in ("bos", "eos", "sep")] == [True] * 3
    assert found["ggml.seperator_token_id"] == 5


CHATS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"tokenizer_config.json": {"chat_template": "one"}}, {"chat_template": "one"}),
    (
        {"tokenizer_config.json": {"chat_template": "one"}, "chat_template.jinja": "two"},
        {"chat_template": "one"},
    ),
    ({"tokenizer_config.json": {"x": 1}, "chat_template.jinja": "two"}, {"chat_template": "two"}),
    (
        {"tokenizer_config.json": {"x": 1}, "chat_template.json": {"chat_template": "three"}},
        {"chat_template": "three"},
    ),
    (
        {
            "tokenizer_config.json": {"x": 1},
            "chat_template.jinja": "two",
            "additional_chat_templates/tool use.jinja": "four",
        },
        {"chat_template.tool_use": "four", "chat_templates": ("tool_use",), "chat_template": "two"},
    ),
    (
        {
            "tokenizer_config.json": {
                "chat_template": [
                    {"name": "rag", "template": "r"},
                    {"name": "default", "template": "d"},
                ]
            }
        },
        {"chat_template.rag": "r", "chat_templates": ("rag",), "chat_template": "d"},
    ),
    ({"chat_template.jinja": "two"}, {}),
]


@pytest.mark.parametrize(("files", "expected"), CHATS)
def test_chat_templates_are_found_where_llama_cpp_looks(
    files: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = values(Made({"tokenizer.json": tokenizer(), **files}))
    assert {key: value for key, value in found.items() if "chat" in key} == expected


def test_a_family_names_special_tokens_only_where_the_checkpoint_does_not() -> None:
    hints = VocabHints(loaders=("bpe",), special={"eos": "a", "eot": "<end>", "unk": "nowhere"})
    files = {"tokenizer.json": tokenizer(), "config.json": {"eos_token_id": 5}}
    found = values(Made(files), hints=hints)
    assert (found["ggml.eos_token_id"], found["ggml.eot_token_id"]) == (5, 5)
    assert "ggml.unknown_token_id" not in found


def test_a_later_value_keeps_the_earlier_place() -> None:
    first, second, third = u32("a", 1), u32("b", 2), u32("a", 3)
    assert merged([first, second, third]) == [third, second]


def test_the_space_prefix_stands_where_the_family_writes_it() -> None:
    files = Made(
        {"tokenizer.json": tokenizer(), "tokenizer_config.json": {"add_prefix_space": True}}
    )
    kvs = build(files, None, VocabHints(loaders=("bpe",), space_prefix="first"))
    assert kvs[0] == boolean("tokenizer.ggml.add_space_prefix", value=True)
    kvs = build(files, None, VocabHints(loaders=("bpe",), space_prefix="last"))
    assert kvs[-1].key == "tokenizer.ggml.add_space_prefix"


@pytest.mark.parametrize(
    "name", ["bpe-llama3", "bpe-deepseek3", "bpe-gpt2", "bpe-qwen3", "spm-gemma3", "spm-phi3"]
)
def test_single_tokens_read_as_the_tokenizers_library_reads_them(name: str, kit: Path) -> None:
    path = kit / "tokenizers" / name / "tokenizer.json"
    decoder = json.loads(path.read_text())["decoder"]
    library = tokenizers.Tokenizer.from_file(str(path))
    for text, token_id in library.get_vocab().items():
        assert decode(decoder, text) == library.decode([token_id], skip_special_tokens=False)


def test_the_byte_alphabet_is_that_of_the_tokenizers_library() -> None:
    assert set(BYTE_OF_LETTER) == set(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert sorted(BYTE_OF_LETTER.values()) == list(range(256))


def test_sentencepiece_settings_are_read_from_the_file(kit: Path) -> None:
    path = kit / "tokenizers" / "unigram-xlmr" / "sentencepiece.bpe.model"
    spec = read_spec(path.read_bytes(), path.name)
    normalizer = json.loads((path.parent / "tokenizer.json").read_text())["normalizer"]
    assert spec.model_type == UNIGRAM
    assert tokenizers.normalizers.Precompiled(spec.charsmap).normalize_str("\ufb01") == "fi"
    assert normalizer["type"] == "Precompiled"
    path = kit / "tokenizers" / "spm-llama2" / "tokenizer.model"
    assert read_spec(path.read_bytes(), path.name).model_type == BPE


def test_rwkv_tokens_are_written_as_escaped_bytes() -> None:
    lines = "1 '\\x00' 1\n2 b'\\xff' 1\n3 'a b' 3\n4 '\u00e9' 2\n"
    found = values(Made({"rwkv_vocab_v20230424.txt": lines}), 6, VocabHints(loaders=("rwkv",)))
    assert found["ggml.model"] == "rwkv"
    assert found["ggml.tokens"] == (
        b"<s>", b"\\x00", b"\\xff", b"a b", b"\\xc3\\xa9", b"[PAD5]",
    )  # fmt: skip
    assert (found["ggml.bos_token_id"], found["ggml.eos_token_id"]) == (0, 0)


def test_vocab_txt_alone_is_a_wordpiece_tokenizer() -> None:
    config = {"added_tokens_decoder": {"0": {"content": "[CLS]", "special": True}}}
    files = Made({"vocab.txt": "[CLS]\nthe\n##ing\n", "tokenizer_config.json": config})
    found = values(files, None, VocabHints(loaders=("wordpiece",)))
    assert found["ggml.tokens"] == (b"[CLS]", "\u2581the".encode(), b"ing")


def tekken(**changes: Any) -> dict[str, Any]:
    """Four special tokens, the bytes, and two tokens made of them."""
    pieces = [bytes([byte]) for byte in range(256)] + [b" a", b" ab"]
    vocab = [{"token_bytes": b64encode(piece).decode()} for piece in pieces]
    config = {"default_vocab_size": 262, "default_num_special_tokens": 4, "version": "v7"}
    special = [{"token_str": text} for text in ("<unk>", "<s>", "</s>")]
    return {"config": config, "vocab": vocab, "special_tokens": special} | changes


def test_tekken_merges_are_all_ways_to_make_a_token() -> None:
    found = values(Made({"tekken.json": tekken()}), None, VocabHints(loaders=("tekken",)))
    assert (found["ggml.model"], found["ggml.pre"]) == ("gpt2", "tekken")
    assert found["ggml.tokens"][:5] == (
        b"<unk>",
        b"<s>",
        b"</s>",
        b"<SPECIAL_3>",
        "\u0100".encode(),
    )
    assert found["ggml.tokens"][260:] == ("\u0120a".encode(), "\u0120ab".encode())
    assert found["ggml.merges"] == ("\u0120 a", "\u0120a b"), '"ab" is no token'
    assert found["ggml.padding_token_id"] == found["ggml.eos_token_id"] == 2
    assert found["chat_template"] == "mistral-v7-tekken"


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
    assert (caught.value.reference, caught.value.where) == ("bad-tokenizer-file", "tekken.json")


def test_tokenizer_json_goes_before_tekken_json() -> None:
    files = Made({"tekken.json": tekken(), "tokenizer.json": tokenizer()})
    found = values(files, None, VocabHints(loaders=("tekken", "bpe")))
    assert found["ggml.pre"] == "gpt-2"


def test_key_values_by_size_follow_for_that_size_alone() -> None:
    files = Made({"tokenizer.json": tokenizer()})
    extra = u32("tokenizer.ggml.eot_token_id", 3)
    hints = VocabHints(loaders=("bpe",), by_size={9: (extra,)})
    assert extra in build(files, 9, hints)
    assert extra not in build(files, 10, hints)


class Without(Folders):
    """A kit model's files without tokenizer.json, as from the days before it."""

    def read(self, name: str) -> bytes | None:
        return None if name == "tokenizer.json" else super().read(name)


@pytest.mark.parametrize(
    ("name", "loader"),
    [("qwen2-tied", "bpe"), ("qwen3-tied", "bpe"), ("phi2", "bpe"), ("bert", "wordpiece")],
)
def test_older_files_give_the_tokens_that_tokenizer_json_gives(
    name: str, loader: str, kit: Path
) -> None:
    files = kit_files(kit, name)
    hints = VocabHints(loaders=(loader,))
    size = json.loads(files.read("config.json") or b"")["vocab_size"]
    new, old = (build(one, size, hints) for one in (files, Without(*files.folders)))
    keys = ("model", "pre", "tokens", "token_type", "merges")
    for key in (f"tokenizer.ggml.{key}" for key in keys):
        assert [kv for kv in old if kv.key == key] == [kv for kv in new if kv.key == key], key


def test_vocab_json_of_an_unknown_tokenizer_class_is_refused() -> None:
    files = {"vocab.json": {"a": 0}, "tokenizer_config.json": {"tokenizer_class": "MyTokenizer"}}
    with pytest.raises(CheckpointError) as caught:
        build(Made(files), 1, BPE_HINTS)
    assert caught.value.where == "tokenizer_config.json"
    assert 'tokenizer_class "MyTokenizer"' in (caught.value.reason or "")


ENDS = [
    ("gemma2", ["<eos>", "<end_of_turn>"]),
    ("glm4", ["<|user|>", "<|endoftext|>", "<|observation|>"]),
    ("llama31-bpe", ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"]),
    ("phi3-longrope", ["<|endoftext|>", "<|assistant|>", "<|end|>"]),
    ("stablelm2", ["<|im_end|>", "<|endoftext|>"]),
    ("bert", ["[SEP]"]),
]


@pytest.mark.parametrize(("name", "expected"), ENDS)
def test_end_tokens_are_those_of_all_sources(name: str, expected: list[str], kit: Path) -> None:
    files, kvs = kit_kvs(kit, name)
    assert end_tokens(files, kvs) == expected


@pytest.mark.parametrize(
    ("ends", "key", "value"),
    [
        ([5], "ggml.eot_token_id", 5),
        ([3, 5], "ggml.eot_token_id", 3),
        (0, "ggml.eos_token_id", 0),  # EOS itself: llama.cpp ends there
        ([99], "ggml.eot_token_id", None),
        (None, "ggml.eot_token_id", None),
    ],
)
def test_eot_is_written_only_where_llama_cpp_would_never_end(
    ends: Any, key: str, value: int | None
) -> None:
    files = {
        "tokenizer.json": tokenizer(),
        "config.json": {"eos_token_id": 0},
        "generation_config.json": {"eos_token_id": ends},
    }
    found = values(Made(files))
    assert found.get(key) == value
    assert ("ggml.eot_token_id" in found) == (key == "ggml.eot_token_id" and value is not None)


def changed(model: dict[str, Any]) -> dict[str, Any]:
    return tokenizer(model={**tokenizer()["model"], **model})


def added(*tokens: Any) -> dict[str, Any]:
    return tokenizer(added_tokens=list(tokens))


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


@pytest.mark.parametrize(
    ("content", "reference"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_a_damaged_tokenizer_json_is_refused(content: Any, reference: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        build(Made({"tokenizer.json": content}), 8, BPE_HINTS)
    assert caught.value.reference == reference
    assert caught.value.where == "tokenizer.json"


@pytest.mark.parametrize("part", ["decoder", "post_processor", "normalizer"])
@pytest.mark.parametrize("content", [[], 7, "x", {"single": 7, "pair": [7], "processors": [7]}])
def test_parts_that_are_no_parts_change_nothing(part: str, content: Any) -> None:
    found = values(Made({"tokenizer.json": tokenizer(**{part: content})}))
    assert found["ggml.tokens"] == values(Made({"tokenizer.json": tokenizer()}))["ggml.tokens"]


def test_a_vocab_size_that_no_tokenizer_has_is_refused() -> None:
    with pytest.raises(CheckpointError, match="a vocabulary of 1099511627776 tokens"):
        build(Made({"tokenizer.json": tokenizer()}), 2**40, BPE_HINTS)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\x0a\xff\xff\xff\xff\x0f"])
def test_a_damaged_tokenizer_model_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        build(Made({"tokenizer.model": content}), 8, VocabHints(loaders=("spm",)))
    assert (caught.value.reference, caught.value.where) == ("bad-tokenizer-file", "tokenizer.model")


def test_a_checkpoint_without_a_tokenizer_is_unsupported() -> None:
    with pytest.raises(UnsupportedError) as caught:
        build(Made({"vocab.txt": "a"}), 8, VocabHints(loaders=("spm", "bpe")))
    assert caught.value.reference == "unknown-tokenizer"
    assert caught.value.where == "vocab.txt"
    assert caught.value.reason == "looked for: spm, bpe"
