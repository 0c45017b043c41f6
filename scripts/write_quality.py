#!/usr/bin/env python3
"""Measure what each type loses, and write the table into docs/quality.md.

    python scripts/write_quality.py CHECKPOINT TEXT

CHECKPOINT is converted to F32, the base, and to each of TYPES; TEXT is what they read. Needs the
extra `eval`, and with a model as small as tinyrust ten minutes of one core.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from quantize import api
from quantize.evaluation.likelihood import Comparison, Estimate
from quantize.perplexity import Measured, perplexity

PAGE = Path(__file__).resolve().parent.parent / "docs" / "quality.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"

BASE = "F32"
# From the best to the worst.
TYPES = (
    "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q4_0", "Q3_K_M", "Q2_K",
)  # fmt: skip
CONTEXT = 256

HEAD = """\
| type | bits per weight | perplexity | ln of the ratio | KL divergence | its 99 % | same top |
|---|---:|---|---|---|---:|---:|
"""


def main() -> None:
    checkpoint, text = sys.argv[1:]
    rows = [HEAD]
    with tempfile.TemporaryDirectory() as folder:
        options = api.Options(types=(BASE, *TYPES), output=Path(folder))
        base, *files = api.convert(checkpoint, options).files
        for file in files:
            # More threads than free cores would mostly wait for each other: the model is small.
            found = perplexity(file.path, Path(text), base.path, context=CONTEXT, jobs=1)
            rows.extend(_rows(file, found))
            print(rows[-1], end="", flush=True)
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(
        "".join([before, BEGIN, "\n", *rows, "\n", END, after]), encoding="utf-8", newline="\n"
    )


def _rows(file: api.OutputFile, found: Measured) -> Iterator[str]:
    comparison = found.comparison
    assert comparison is not None
    if file.type == TYPES[0]:
        yield f"| {BASE} | 32 | {_text(comparison.base_perplexity, 4)} | 0 | 0 | 0 | 100 % |\n"
    yield f"| {file.type} | {file.bits_per_weight:.2f} | {_cells(found, comparison)} |\n"


def _cells(found: Measured, comparison: Comparison) -> str:
    return " | ".join([
        _text(found.perplexity, 4),
        _text(comparison.log_ratio, 6),
        _text(comparison.divergence.mean, 6),
        f"{comparison.divergence.percentile_99:.6f}",
        f"{100 * comparison.same_top.value:.2f} %",
    ])  # fmt: skip


def _text(estimate: Estimate, digits: int) -> str:
    return f"{estimate.value:.{digits}f} ± {estimate.error:.{digits}f}"


if __name__ == "__main__":
    main()
