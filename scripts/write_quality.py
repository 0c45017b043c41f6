#!/usr/bin/env python3
"""Measure what each type loses, and write the tables into docs/quality.md.

    python scripts/write_quality.py CHECKPOINT TEXT [TEXT...]

CHECKPOINT is converted to F32, the base, to each of TYPES, and for each of MIXES to types chosen
for the size of its file. All of them read the first TEXT; types that were chosen are held against
the mix on every one, since which of two equally good files a text prefers is chance. Needs the
extra `eval`, and with a model as small as tinyrust half an hour of one core.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from quantize import api
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.evaluation.likelihood import Estimate, LikelihoodComparison
from quantize.options.run import RunOptions
from quantize.planning.from_checkpoint import model_of
from quantize.progress import NullProgress
from quantize.recipes import UNSTEERED
from quantize.recipes.budget import Budget, SizeBudget
from quantize.verbs.common.budgeting import Budgeted, budgeted
from quantize.verbs.common.preparing import open_sources
from quantize.verbs.perplexity import Measured, perplexity

PAGE = Path(__file__).resolve().parent.parent / "docs" / "quality.md"
TYPES_TABLE, BUDGETS_TABLE, RATIOS_TABLE, END = (
    f"<!-- {mark} -->\n" for mark in ("measured", "budgets", "ratios", "end")
)

BASE = "F32"
# From the best to the worst.
TYPES = (
    "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q4_0", "Q3_K_M", "Q2_K",
)  # fmt: skip
# Mixes for whose size types are chosen.
MIXES = ("Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_M", "Q2_K")
CONTEXT = 256

HEAD = """\
| type | bits per weight | perplexity | ln of the ratio | KL divergence | its 99 % | same top |
|---|---:|---|---|---|---:|---:|
"""
BUDGETS_HEAD = """\
| file | bytes | error | perplexity | KL divergence |
|---|---:|---:|---|---|
"""
RATIOS_HEAD = """\
| size of | {texts} | all |
|---|{rules}---|
"""


def main() -> None:
    checkpoint, *texts = sys.argv[1], *map(Path, sys.argv[2:])
    text = texts[0]
    with tempfile.TemporaryDirectory() as folder:
        options = api.Options(types=(BASE, *TYPES), output=Path(folder))
        base, *files = api.convert(checkpoint, options).files
        found = {}
        for file in files:
            # More threads than free cores would mostly wait for each other: the model is small.
            found[file] = perplexity(file.path, text, base.path, context=CONTEXT, jobs=1)
            print(file.type, file=sys.stderr)
        _write(TYPES_TABLE, HEAD, [row for file in files for row in _rows(file, found[file])])
        named = {file.type: file for file in files}
        rows, ratios = [], []
        for name in MIXES:
            budget = SizeBudget(f"as-{name}", f"--target-size {named[name].size}", named[name].size)
            chosen = replace(options, types=(), target_size=str(named[name].size))
            rated = _rated(checkpoint, budget)
            (own,) = api.convert(checkpoint, chosen).files
            measured = perplexity(own.path, text, base.path, context=CONTEXT, jobs=1)
            error = next(mix.error for mix in rated.mixes if mix.name == name)
            rows.append(_budget_row(name, named[name].size, error, found[named[name]]))
            rows.append(_budget_row(budget.said, own.size, rated.own.error, measured))
            beside = [
                perplexity(own.path, each, named[name].path, context=CONTEXT, jobs=1)
                for each in texts
            ]
            ratios.append(_ratio_row(name, beside))
            print(budget.said, file=sys.stderr)
        _write(BUDGETS_TABLE, BUDGETS_HEAD, rows)
        columns = " | ".join(f"text {place + 1}" for place, _ in enumerate(texts))
        head = RATIOS_HEAD.format(texts=columns, rules="---|" * len(texts))
        _write(RATIOS_TABLE, head, ratios)


def _write(begin: str, head: str, rows: list[str]) -> None:
    """Put a table in the place of the one behind the mark `begin`."""
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    after = rest.partition(END)[2]
    text = "".join([before, begin, "\n", head, *rows, "\n", END, after])
    PAGE.write_text(text, encoding="utf-8", newline="\n")


def _rated(checkpoint: str, budget: Budget) -> Budgeted:
    sources = open_sources(checkpoint, api.Options())
    source = sources.opened.source
    assert isinstance(source, Checkpoint)
    model = model_of(source)
    return budgeted(source, model, UNSTEERED, budget, RunOptions(), NullProgress())


def _budget_row(name: str, size: int, error: float, found: Measured) -> str:
    assert found.comparison is not None
    cells = [
        name, f"{size:,}", f"{100 * error:.2f} %", _text(found.perplexity, 4),
        _text(found.comparison.divergence.mean, 6),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def _ratio_row(name: str, beside: list[Measured]) -> str:
    """How the perplexity of chosen types differs from the mix's, by text and in all tokens."""
    found = [one.comparison.log_ratio for one in beside if one.comparison is not None]
    shares = [one.tokens / sum(each.tokens for each in beside) for one in beside]
    mean = sum(share * one.value for share, one in zip(shares, found, strict=True))
    error = math.hypot(*(share * one.error for share, one in zip(shares, found, strict=True)))
    cells = [name, *(_text(one, 6) for one in (*found, Estimate(mean, error)))]
    return f"| {' | '.join(cells)} |\n"


def _rows(file: api.OutputFile, found: Measured) -> Iterator[str]:
    comparison = found.comparison
    assert comparison is not None
    if file.type == TYPES[0]:
        yield f"| {BASE} | 32 | {_text(comparison.base_perplexity, 4)} | 0 | 0 | 0 | 100 % |\n"
    yield f"| {file.type} | {file.bits_per_weight:.2f} | {_cells(found, comparison)} |\n"


def _cells(found: Measured, comparison: LikelihoodComparison) -> str:
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
