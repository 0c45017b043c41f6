"""Patterns of module names from a checkpoint: what `re` says, without its bad cases."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.checkpoints.adapters.settings import read_settings
from quantize.checkpoints.encodings.compressed_tensors import _by_pattern
from quantize.checkpoints.encodings.gptq import GPTQ
from quantize.checkpoints.patterns import matches
from quantize.errors import CheckpointError

# Each takes `re` more than minutes for the name.
NAME = "a" * 60 + "!"
TRAPS = ("(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*a){30}b", "(a?){50}a{60}b", "(([a-z])+.)+[A-Z]b")

_CHARS = st.sampled_from(["a", "b", ".", r"\.", "[ab]", "[^a]", r"\w", r"\d", "0"])
_COUNTS = st.sampled_from(["", "*", "+", "?", "*?", "{2}", "{1,2}", "{,1}", "{1,}"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    sequences = st.lists(inner, max_size=3).map("".join)
    groups = st.builds("({}|{}){}".format, sequences, sequences, _COUNTS)
    aheads = st.builds("({}{})".format, st.sampled_from(["?=", "?!"]), sequences)
    return st.one_of(sequences, groups, aheads)


_SINGLE = st.one_of(st.builds("{}{}".format, _CHARS, _COUNTS), st.sampled_from(["^", "$"]))
_PATTERNS = st.recursive(_SINGLE, _grown, max_leaves=6)


@given(_PATTERNS, st.text("ab.0\n", max_size=6))
def test_it_is_what_python_says(pattern: str, name: str) -> None:
    assert matches(pattern, name) == bool(re.match(pattern, name))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (r".*\.layers\.(0|1|2)\..*", True),
        (r"model\.layers\.[0-9]+\.mlp\.(gate|up|down)_proj$", False),
        (r"^(?!.*lm_head).*_proj$", True),
        (r"(?:model\.)?layers\.\d{1,2}\..*", True),
    ],
)
def test_patterns_as_people_write_them(pattern: str, fits: bool) -> None:  # noqa: FBT001 - a case
    assert matches(pattern, "model.layers.1.self_attn.q_proj") is fits


@pytest.mark.parametrize("pattern", TRAPS)
def test_a_trap_is_no_match_at_once(pattern: str) -> None:
    assert not matches(pattern, NAME)
    assert not _by_pattern(f"re:{pattern}", NAME)
    gptq = GPTQ({"bits": 4, "dynamic": {f"+:{pattern}": {"bits": 8}}})
    assert gptq._setting(NAME, "bits") == 4
    settings = read_settings(
        {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {pattern: 8}}, "adapter"
    )
    assert settings.rank_of(NAME) == 2


@pytest.mark.parametrize(
    "pattern",
    [
        "(", ")", "[", "a**", "*", "(?P<x>a)", r"(a)\1", "(?i)a", "a{2,1}", "a++", "[b-a]", "^*",
        "(" * 21 + ")" * 21, "a" * 1001, "((((a*)*)*)*)*{9}", "(.*a){999}b",
    ],
)  # fmt: skip
def test_what_is_no_pattern_or_takes_too_long_is_refused(pattern: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        matches(pattern, "a" * 200_000)
    assert caught.value.code == "odd-pattern"
