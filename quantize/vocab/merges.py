"""BPE merges, from whichever of the two spellings and files the checkpoint has."""

from __future__ import annotations

from quantize.vocab.files import TokenizerFiles, bad_file, section

# A merge is written "left right", so a space inside a part is written as the byte-level alphabet
# writes it.
_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"


def read_merges(files: TokenizerFiles) -> list[str]:
    """Merges as "left right", from tokenizer.json, else from merges.txt; empty if there are none.

    Raises CheckpointError("bad-tokenizer-file") for merges of any third spelling.
    """
    merges = section(files.json("tokenizer.json"), "model").get("merges")
    if not isinstance(merges, list) or not merges:
        return _from_text(files.text("merges.txt"))
    if all(isinstance(merge, str) for merge in merges):
        return list(merges)
    return [_join(merge) for merge in merges]


def _join(merge: object) -> str:
    match merge:
        case [str(left), str(right)]:
            return f"{left.replace(' ', _SPACE)} {right.replace(' ', _SPACE)}"
    raise bad_file("tokenizer.json", f"{merge!r} is not a merge of two tokens")


def _from_text(text: str | None) -> list[str]:
    lines = (text or "").split("\n")
    if lines[0].strip().startswith("#"):
        lines = lines[1:]
    parts = (line.split() for line in lines)
    return [f"{pair[0]} {pair[1]}" for pair in parts if len(pair) == 2]
