"""The pre-tokenizer's name from the structure of tokenizer.json, and patterns in normal form.

Oracles: the kit's names, and the tokenizers library, which has to cut text by a normal form as it
does by the pattern itself.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from quantize.errors import UnsupportedError, UsageError
from quantize.vocab import VocabHints, build
from quantize.vocab.pre import normal_steps, pre_name, structure
from quantize.vocab.pre_table import (
    ARCH_NAMES,
    BYTES,
    CL100K,
    GPT2,
    MARK_SPACES,
    O200K,
    OUT_OF_REACH,
    QWEN2,
    RAW,
    ROWS,
    WORDS,
)
from quantize.vocab.regex import normal_form
from tests.support.vocab_files import Made

PROSE = {BYTES, RAW, MARK_SPACES, WORDS}
PATTERNS = sorted({step for row in ROWS for step in row.steps} - PROSE)
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
ALPHABET = "aAzZ'sStTlLdDrReEvVmM .,!?\u3002\uff01-_/()[]{}\\\"019\u00b2\u0663 \t\r\n\u00a0\u3000"
LETTERS = (
    "\u00e9\u00c9\u0301\u01c5\u02b0\u05d0\u4e2d\u3042\u30ab\uac00"
    "\u0e01\u0e31\U0001f600\u200d\U00010400"
)


def split(pattern: str, **flags: Any) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"} | flags


def sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(parts)}


def tokenizer(pre: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"pre_tokenizer": pre, "model": {"type": "BPE"}} | more


def cut(pattern: str, text: str) -> list[str]:
    splitter = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    return [piece for piece, _ in splitter.pre_tokenize_str(text)]


def equal_names(kit: Path) -> list[set[str]]:
    spec = importlib.util.spec_from_file_location("kit_check", kit / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names: list[set[str]] = module.PRE
    return names


def test_kit_tokenizers_get_a_name_that_cuts_as_expected(kit: Path) -> None:
    same = equal_names(kit)
    wrong = {}
    for name, about in json.loads((kit / "tokenizers.json").read_text()).items():
        if about["kind"] == "bpe":
            expected = about["tokenizer.ggml.pre"]
            path = kit / "tokenizers" / name / "tokenizer.json"
            found = pre_name(json.loads(path.read_text()))
            if found != expected and not any({found, expected} <= names for names in same):
                wrong[name] = (found, expected)
    # Both cut alike; they differ in llama.cpp's default for BOS, so the architecture decides.
    assert wrong == {"bpe-glm4": ("llama-bpe", "glm4"), "bpe-glm45": ("llama-bpe", "glm4")}


def test_an_architecture_gets_the_name_of_llama_cpps_converter() -> None:
    llama3 = tokenizer(sequence(split(CL100K), BYTE_LEVEL), model={"ignore_merges": True})
    assert pre_name(llama3, "glm4") == "glm4"
    assert pre_name(llama3, "phi2") == "llama-bpe", "a name of another structure is not taken"


def test_every_name_stands_in_one_row() -> None:
    names = [name for row in ROWS for name in row.names] + list(OUT_OF_REACH)
    assert len(set(names)) == len(names)
    assert set(ARCH_NAMES.values()) <= set(names)


def test_rows_differ_in_structure_or_in_a_flag() -> None:
    kinds = [(normal_steps(row), row.ignore_merges, row.roberta) for row in ROWS]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_normal_form_is_its_own_normal_form(pattern: str) -> None:
    assert normal_form(normal_form(pattern)) == normal_form(pattern)


@settings(max_examples=60)
@given(text=st.text(alphabet=ALPHABET + LETTERS, max_size=40))
def test_a_normal_form_cuts_text_as_its_pattern_does(text: str) -> None:
    # ASCII matters alone here: Unicode's case folding lets (?i:s) match U+017F, too.
    for pattern in PATTERNS:
        assert cut(normal_form(pattern), text) == cut(pattern, text), pattern


EQUAL = [
    (r"(?i:'s|'t|'re)", r"'(?:[sS]|[tT]|[rR][eE])"),
    (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"'(?i:[sdmt]|ll|ve|re)"),
    (r"'s|'t| ?\p{L}+", r"'[st]| ?\p{L}+"),
    (r"\p{N}{1}", r"\p{N}"),
    (r"\p{N}{1,}", r"\p{N}+"),
    (r"\p{N}{0,1}", r"\p{N}?"),
    (r"[^\r\n\p{L}\p{N}]?+\p{L}+", r"[^\n\r\p{N}\p{L}]?\p{L}+"),
    (r" ?[^\s\p{L}\p{N}]++[\r\n]*", r" ?[^\s\p{L}\p{N}]+[\r\n]*"),
    (r"(\d{3})+", r"(?:\d{3})+"),
    (r"[\p{Han}]+", r"\p{Han}+"),
    (r"[^\S]", r"\s"),
    (r"\P{L}", r"\p{^L}"),
    (r"[a-cd-f]", r"[a-f]"),
    (r"[\u4e00-\u9fa5]", "[\u4e00-\u9fa5]"),
    (r"\x{4e00}", "\u4e00"),
    (r"[^(\s|[.,!])]+", r"[^\s(|.,!)]+"),
    (r"[\p{L}&&[^\p{Han}]]", r"[\p{L}&&\P{Han}]"),
]

DIFFERENT = [
    (r"\s++(?!\S)", r"\s+(?!\S)"),  # giving back is the point
    (r"\p{L}++\p{L}", r"\p{L}+\p{L}"),
    (r"\p{L}?+[\p{L}\p{N}]+", r"\p{L}?[\p{L}\p{N}]+"),
    (r"a|ab", r"ab|a"),  # the first alternative wins
    (r"\p{N}{1,3}", r"\p{N}{1,2}"),
    (r"\p{N}", r"\p{Nd}"),
    (r"'s", r"(?i:'s)"),
    (r"\s+?", r"\s+"),
    (r"(?=a)b", r"(?!a)b"),
    (r"[^\r\n]", r"[\r\n]"),
    (r"a+|b", r"b|a+"),
    (r"(?:ab)+", r"ab+"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_spellings_have_one_normal_form(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_patterns_keep_different_normal_forms(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize("pattern", ["(", "[a", r"\k<x>", "(?<n>a)", "[[:alpha:]]", "a\\"])
def test_syntax_beyond_the_subset_stays_as_it_is(pattern: str) -> None:
    assert normal_form(pattern) == pattern


SAME_STRUCTURE: list[tuple[dict[str, Any], str]] = [
    (tokenizer({"type": "ByteLevel", "add_prefix_space": False}), "gpt-2"),
    (tokenizer(sequence(split(GPT2), BYTE_LEVEL)), "gpt-2"),
    (tokenizer(sequence(split(QWEN2, behavior="Removed", invert=True), BYTE_LEVEL)), "qwen2"),
    (tokenizer(sequence(split(QWEN2, invert=True), BYTE_LEVEL)), "qwen2"),
    (tokenizer(sequence(sequence(split(QWEN2)), BYTE_LEVEL)), "qwen2"),
    (tokenizer(sequence(split(O200K), BYTE_LEVEL), normalizer={"type": "NFC"}), "gpt-4o"),
    (
        tokenizer(
            sequence(split(O200K), BYTE_LEVEL),
            normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]},
        ),
        "gpt-4o",
    ),
    (
        tokenizer(sequence(split(r"\p{N}"), {"type": "ByteLevel", "use_regex": True})),
        "starcoder",
    ),
    (
        tokenizer(
            {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"},
            normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ),
        "gemma4",
    ),
    (
        tokenizer(
            None, normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        ),
        "gemma4",
    ),
]


@pytest.mark.parametrize(("made", "name"), SAME_STRUCTURE)
def test_equal_structures_meet_in_one_row(made: dict[str, Any], name: str) -> None:
    assert pre_name(made) == name


UNKNOWN: list[dict[str, Any]] = [
    tokenizer(None),
    tokenizer({"type": "ByteLevel", "add_prefix_space": True}),
    tokenizer({"type": "Metaspace", "replacement": "\u2581"}),
    tokenizer({"type": "BertPreTokenizer"}),
    tokenizer(sequence(split(QWEN2, behavior="MergedWithPrevious"), BYTE_LEVEL)),
    tokenizer(sequence(split(QWEN2, behavior="Removed"), BYTE_LEVEL)),
    tokenizer(sequence(split(QWEN2))),
    tokenizer({"type": "ByteLevel"}, normalizer={"type": "NFKC"}),
    tokenizer({"type": "ByteLevel"}, normalizer={"type": "Lowercase"}),
    tokenizer({"type": "ByteLevel"}, normalizer={"type": "Prepend", "prepend": "\u2581"}),
]


@pytest.mark.parametrize("made", UNKNOWN)
def test_anything_else_is_refused(made: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        pre_name(made)
    assert caught.value.code == "unknown-pre-tokenizer"


def test_the_refusal_shows_the_nearest_rows_and_the_difference() -> None:
    own = QWEN2.replace(r"\p{N}|", r"\p{N}{1,2}|")
    with pytest.raises(UnsupportedError) as caught:
        pre_name(tokenizer(sequence(split(own), BYTE_LEVEL)))
    error = caught.value
    assert error.exit_code == 3
    assert error.message == "llama.cpp has no name for the way this tokenizer cuts text"
    assert error.where == "tokenizer.json"
    lines = (error.reason or "").splitlines()
    assert lines[0] == f"this one: /{normal_form(own)}/ then byte letters"
    assert len(lines) == 4
    names = [line.partition(":")[0] for line in lines[1:]]
    assert "qwen2" in names
    row = lines[1 + names.index("qwen2")]
    assert row == f"qwen2: has /{normal_form(QWEN2)}/, lacks /{normal_form(own)}/"
    assert error.hint == f"if the difference does not matter to you: --pre {names[0]}"


def test_pre_is_written_as_asked_without_looking_at_the_structure() -> None:
    files = Made({"tokenizer.json": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}})
    kvs = build(files, 1, VocabHints(loaders=("bpe",), pre="qwen2"))
    assert [kv.value for kv in kvs if kv.key == "tokenizer.ggml.pre"] == ["qwen2"]
    with pytest.raises(UnsupportedError, match="no name for the way"):
        build(files, 1, VocabHints(loaders=("bpe",)))


def test_a_name_that_llama_cpp_does_not_know_is_a_usage_error() -> None:
    files = Made({"tokenizer.json": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}})
    with pytest.raises(UsageError) as caught:
        build(files, 1, VocabHints(loaders=("bpe",), pre="qwen-2"))
    assert (caught.value.code, caught.value.exit_code) == ("unknown-pre", 2)
    assert "qwen2" in (caught.value.reason or "")


def test_tinyrust_has_llama_3s_structure(tinyrust: Path) -> None:
    made = json.loads((tinyrust / "tokenizer.json").read_text())
    assert structure(made) == (normal_form(CL100K), "byte letters")
    assert pre_name(made, "llama") == "llama-bpe"


def test_no_pattern_of_the_table_is_beyond_the_normal_form() -> None:
    # A pattern that the parser gives up on would match nothing but its own spelling.
    assert [p for p in PATTERNS if re.search(r"\(\?i:", normal_form(p))] == []
