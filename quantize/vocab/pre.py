"""The name of a pre-tokenizer (`tokenizer.ggml.pre`), from the structure of tokenizer.json.

llama.cpp implements a fixed set of ways to cut text before BPE merges, each under several names.
`structure` brings a tokenizer.json to a short list of steps, `pre_name` looks it up in the table.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from quantize.errors import UnsupportedError, UsageError
from quantize.registry import names_like
from quantize.vocab.files import entries, section
from quantize.vocab.pre_table import (
    ARCH_NAMES,
    BYTES,
    DIGIT,
    DIGITS,
    GPT2,
    MARK_SPACES,
    OUT_OF_REACH,
    PUNCTUATION,
    RAW,
    ROWS,
    WORDS,
    PreRow,
)
from quantize.vocab.regex import normal_form
from quantize.vocab.tokens import SPACE_MARK

_PROSE = (BYTES, RAW, MARK_SPACES, WORDS)

# Behaviours (and `invert`) that keep every match, and every gap, as a piece of its own.
# ("Removed", True) throws the gaps away; patterns written for it leave none.
_ISOLATED = (("Isolated", False), ("Isolated", True), ("Removed", True))


def chosen_name(name: str) -> str:
    """A name that a person gave. Raises UsageError("unknown-pre") if llama.cpp has no such name."""
    known = {one.casefold(): one for row in ROWS for one in row.names}
    known |= {one.casefold(): one for one in OUT_OF_REACH}
    if name in known.values():
        return name
    raise UsageError(
        "unknown-pre",
        f"{name!r} is not the name of a pre-tokenizer of llama.cpp",
        where="--pre",
        reason=names_like(name, known.values(), limit=5),
        hint="omit --pre; it is derived from tokenizer.json",
    )


def pre_name(tokenizer: Mapping[str, Any], arch_name: str = "") -> str:
    """llama.cpp's name for the pre-tokenizer of a tokenizer.json.

    Of a row's equal names, the one that llama.cpp's converter gives the architecture is taken.
    Raises UnsupportedError("unknown-pre-tokenizer") with the nearest rows when none matches.
    """
    steps = structure(tokenizer)
    merges = bool(section(tokenizer, "model").get("ignore_merges"))
    post = section(tokenizer, "post_processor")
    types = [part.get("type") for part in (post, *entries(post, "processors"))]
    roberta = "RobertaProcessing" in types
    for row in ROWS:
        flags_fit = row.ignore_merges in (None, merges) and row.roberta == roberta
        if flags_fit and normal_steps(row) == steps:
            own = ARCH_NAMES.get(arch_name, "")
            return own if own in row.names else row.names[0]
    raise _unknown(steps)


def structure(tokenizer: Mapping[str, Any]) -> tuple[str, ...]:
    """What happens to a text before merges: steps in the normal form of the table.

    NFC is left out: llama.cpp does not normalize, and its converter makes no difference either.
    """
    steps = _normalizer(section(tokenizer, "normalizer"))
    cuts = _pre_tokenizer(section(tokenizer, "pre_tokenizer"))
    if MARK_SPACES in steps:
        cuts = [cut for cut in cuts if cut != _SPLIT_AFTER_SPACE]  # no space is left
    letters = BYTES if BYTES in cuts else RAW
    return (*steps, *(cut for cut in cuts if cut != BYTES), letters)


@lru_cache(maxsize=len(ROWS))
def normal_steps(row: PreRow) -> tuple[str, ...]:
    """The steps of a row in normal form."""
    return tuple(step if step in _PROSE else normal_form(step) for step in row.steps)


def _normalizer(part: Mapping[str, Any]) -> list[str]:
    match part.get("type"):
        case None | "NFC":
            return []
        case "Sequence":
            return [step for one in entries(part, "normalizers") for step in _normalizer(one)]
        case "Replace":
            what, by = section(part, "pattern").get("String"), part.get("content")
            spaces = (what, by) == (" ", SPACE_MARK)
            return [MARK_SPACES if spaces else f"{what!r} becomes {by!r}"]
        case "Prepend":
            return [f"{part.get('prepend')!r} in front"]
        case other:
            return [f"normalizer {other}"]


def _pre_tokenizer(part: Mapping[str, Any]) -> list[str]:
    kind = part.get("type")
    read = _PRE_TOKENIZERS.get(str(kind))
    if read is None:
        return [] if kind is None else [f"pre-tokenizer {kind}"]
    return read(part)


def _sequence(part: Mapping[str, Any]) -> list[str]:
    return [step for one in entries(part, "pretokenizers") for step in _pre_tokenizer(one)]


def _byte_level(part: Mapping[str, Any]) -> list[str]:
    front = ["a space in front"] if part.get("add_prefix_space") else []
    return [*front, *([normal_form(GPT2)] if part.get("use_regex", True) else []), BYTES]


def _split(part: Mapping[str, Any]) -> list[str]:
    pattern = section(part, "pattern")
    text = pattern.get("Regex")
    return [_behave(text if isinstance(text, str) else _literal(str(pattern.get("String"))), part)]


def _literal(text: str) -> str:
    return re.sub(r"[^\w\s]", lambda sign: "\\" + sign[0], text)


def _behave(pattern: str, part: Mapping[str, Any]) -> str:
    behavior, invert = part.get("behavior", "Isolated"), bool(part.get("invert"))
    if (behavior, invert) in _ISOLATED:
        return normal_form(pattern)
    if behavior == "Contiguous" and not invert:
        return normal_form(f"(?:{pattern})+")
    return f"{normal_form(pattern)} ({behavior}{', inverted' if invert else ''})"


_PRE_TOKENIZERS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "Sequence": _sequence,
    "Split": _split,
    "ByteLevel": _byte_level,
    "Digits": lambda part: [normal_form(DIGIT if part.get("individual_digits") else DIGITS)],
    "Punctuation": lambda part: [_behave(PUNCTUATION, part)],
    "Whitespace": lambda part: [WORDS],
}

_SPLIT_AFTER_SPACE = _behave(" ", {"behavior": "MergedWithPrevious"})


def _unknown(steps: tuple[str, ...]) -> UnsupportedError:
    def likeness(row: PreRow) -> float:
        return difflib.SequenceMatcher(None, normal_steps(row), steps).ratio() + (
            difflib.SequenceMatcher(None, "\n".join(normal_steps(row)), "\n".join(steps)).ratio()
        )

    nearest = sorted(ROWS, key=likeness, reverse=True)[:3]
    lines = [f"this one: {_listed(steps)}"]
    for row in nearest:
        ours, theirs = normal_steps(row), steps
        lacks = [step for step in ours if step not in theirs]
        extra = [step for step in theirs if step not in ours]
        other = [f"has {_listed(lacks)}"] * bool(lacks) + [f"lacks {_listed(extra)}"] * bool(extra)
        lines.append(f"{row.names[0]}: {', '.join(other) or 'has other flags or another order'}")
    return UnsupportedError(
        "unknown-pre-tokenizer",
        "llama.cpp has no name for the way this tokenizer cuts text",
        where="tokenizer.json",
        reason="\n".join(lines),
        hint=f"if the difference does not matter to you: --pre {nearest[0].names[0]}"
        if BYTES in steps
        else "the tokenizer is not byte-level, so no --pre fits it; if it was made with "
        "SentencePiece, add the original model's tokenizer.model",
    )


def _listed(steps: tuple[str, ...] | list[str]) -> str:
    return " then ".join(step if step in _PROSE else f"/{step}/" for step in steps)
