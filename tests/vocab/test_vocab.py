"""Tokenizer key-values against llama.cpp's for every kit model, and the rules behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from quantize.errors import CheckpointError
from quantize.formats.kv import KeyValues, boolean, u32
from quantize.vocab import LOADERS, VocabHints, build, end_tokens
from quantize.vocab.decoding import BYTE_OF_LETTER, decode
from quantize.vocab.notes import notes_on_tokenizer
from quantize.vocab.proto import BPE, UNIGRAM, read_spec
from tests.support.kit_models import DEVIATING, MODELS
from tests.support.vocab_files import (
    BPE_HINTS,
    Folders,
    Made,
    built,
    difference,
    kit_files,
    tekken,
    tokenizer,
)


def kit_kvs(kit: Path, model: str) -> tuple[Folders, KeyValues]:
    files = kit_files(kit, model)
    return files, built(files, strict_parity=model in DEVIATING)


@pytest.mark.parametrize("name", MODELS)
def test_key_values_equal_those_of_llama_cpp(name: str, kit: Path) -> None:
    expected = json.loads((kit / "expected" / f"{name}.json").read_text())["kv"]
    expected = [kv for kv in expected if kv["key"].startswith("tokenizer.")]
    _, kvs = kit_kvs(kit, name)
    assert [kv.key for kv in kvs] == [kv["key"] for kv in expected]
    assert [difference(*pair) for pair in zip(expected, kvs, strict=True)] == [None] * len(kvs)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"normalizer": {"type": "NFKC"}}, ["NFKC"]),
        ({"pre_tokenizer": {"type": "Digits", "individual_digits": True}}, ["Digits"]),
        ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[0-9]"}}}, ["'[0-9]'"]),
    ],
)
@pytest.mark.parametrize("model", ["gemma4", "llama-sharded-mixed", "xlmr"])
def test_a_step_that_llama_cpp_does_not_do_is_named(
    model: str, change: dict[str, Any], named: list[str], kit: Path
) -> None:
    files = kit_files(kit, model)
    made = {name: files.read(name) for name in files.names()}
    content = json.loads(made["tokenizer.json"] or b"")
    changed = Made(made | {"tokenizer.json": content | change})
    hints = VocabHints(loaders=("gemma4", "spm-json", "unigram"))
    notes = notes_on_tokenizer(changed, built(changed), 1024, hints)
    told = [note for note in notes if "nothing like these steps" in note]
    assert len(told) == len(named)
    assert all(name in note for note, name in zip(told, named, strict=True))


@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_can_be_loaded(name: str) -> None:
    assert callable(LOADERS[name])


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
    assert KeyValues.merged([first, second, third]) == (third, second)


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


@pytest.mark.parametrize("literal", ["'" + "x" * 10**6 + "'", "[" * 900 + "]" * 900, "-" * 1500])
def test_an_rwkv_line_that_is_a_trap_is_no_token(literal: str) -> None:
    files = Made({"rwkv_vocab_v20230424.txt": f"1 {literal} 1\n"})
    with pytest.raises(CheckpointError) as caught:
        values(files, 6, VocabHints(loaders=("rwkv",)))
    assert len(str(caught.value.reason)) < 200


def test_vocab_txt_alone_is_a_wordpiece_tokenizer() -> None:
    config = {"added_tokens_decoder": {"0": {"content": "[CLS]", "special": True}}}
    files = Made({"vocab.txt": "[CLS]\nthe\n##ing\n", "tokenizer_config.json": config})
    found = values(files, None, VocabHints(loaders=("wordpiece",)))
    assert found["ggml.tokens"] == (b"[CLS]", "\u2581the".encode(), b"ing")


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
    assert found["ggml.merges"] == ("\u0120 a", "\u0120a b"), '"ab" is not a token'
    assert found["ggml.padding_token_id"] == found["ggml.eos_token_id"] == 2
    assert found["chat_template"] == "mistral-v7-tekken"


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
    assert list(end_tokens(files, kvs)) == expected


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
