"""What a conversion would do, for the types asked for or for all of them."""

from __future__ import annotations

from quantize.execution import needs_of
from quantize.measuring.overview import Overview, overview_of
from quantize.options import PlanOptions
from quantize.options.run import RunOptions
from quantize.progress import Progress
from quantize.recipes.steering import steering_of
from quantize.verbs.common.preparing import prepare
from quantize.verbs.common.results import Planned, SourceFacts


def plan(source: str, options: PlanOptions, progress: Progress | None = None) -> Planned:
    """Say what `convert` would write. Headers are read, and a few weights for a budget.

    >>> planned = plan("my-model", PlanOptions(types=("Q4_K_M",)))
    >>> planned.plans[0].file_name
    'my-model-Q4_K_M.gguf'
    """
    prepared = prepare(source, options, progress)
    needs = needs_of(prepared.plans, options.part(RunOptions))
    return Planned(prepared.facts, prepared.plans, needs, prepared.notes)


def overview(
    source: str, options: PlanOptions, *, context: int | None = None, limit: int | None = None
) -> tuple[SourceFacts, Overview]:
    """Read headers only, and say what each file type would give; see overview_of."""
    prepared = prepare(source, options)
    stored = {weight.dtype for weight in prepared.opened.source.weights.values()}
    found = overview_of(
        prepared.model, stored, options.part(RunOptions), context, limit, steering_of(options)
    )
    return prepared.facts, found
