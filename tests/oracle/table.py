"""docs/logits-parity.md, from the results of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.oracle.parity import ALLOWED, Parity, Reference

HEAD = """\
# Logits parity

Written by `make oracle-logits`: llama.cpp (the server in the xllamacpp wheel) computes on our F32
file, transformers 4.57.6 in float32 on the CPU on the checkpoint. The models are the small ones of
the conformance kit and its cousins; the text is {positions} tokens. Compared are the
log-probabilities of the whole vocabulary after every position, and the last layer's vectors of
models that name no next token.

A difference may be so large a part of the largest value:

| rounding | part | why |
|---|---|---|
| float32 | {float32:.1e} | sums in another order (keys and values are float32) |
| float16 | {float16:.1e} | ggml's CPU code looks GELU up in a table from float16 to float16 |
| Q8_0 | {Q8_0:.1e} | what is multiplied with MXFP4 weights is rounded to Q8_0 before |

That such a comparison notices a wrong mapping is a test of its own: without RoPE's permutation, or
without the offset of norms, it fails (tests/oracle/test_wrong_mappings.py).

## {models} models, {archs} GGUF architectures

| model | architecture | GGUF | compared | largest difference | largest value | part | rounding |
|---|---|---|---|---|---|---|---|
"""

NOTES_HEAD = """
## Told to do as llama.cpp does

Where the two read one checkpoint differently and no key-value can change that, transformers got
another config or a patched module (scripts/reference_logits.py), so that all the rest is compared.

| model | why |
|---|---|
"""

LEFT_OUT_HEAD = """
## Left out

| why | models |
|---|---|
"""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    architecture: str
    reference: Reference
    parity: Parity

    def line(self) -> str:
        kind = "vectors" if self.reference.vectors else "log-probabilities"
        one = self.parity
        return (
            f"| {self.name} | {self.architecture} | {one.arch} | {kind} | {one.difference:.1e} "
            f"| {one.scale:.1f} | {one.difference / one.scale:.1e} | {one.rounding} |\n"
        )


def table(rows: Sequence[Row], left_out: Mapping[str, str]) -> str:
    archs = {row.parity.arch for row in rows}
    positions = len(rows[0].reference.ids)
    parts = [HEAD.format(positions=positions, models=len(rows), archs=len(archs), **ALLOWED)]
    parts += [row.line() for row in rows]
    parts.append(NOTES_HEAD)
    parts += [
        f"| {row.name} | {'; '.join(row.reference.notes)} |\n"
        for row in rows
        if row.reference.notes
    ]
    parts.append(LEFT_OUT_HEAD)
    for reason in dict.fromkeys(left_out.values()):
        names = ", ".join(sorted(name for name, why in left_out.items() if why == reason))
        parts.append(f"| {reason} | {names} |\n")
    return "".join(parts)
