"""What a conversion would do, for the types asked for or for all of them."""

from __future__ import annotations

from quantize.execution import needs_of
from quantize.measuring.overview import Overview, overview_of
from quantize.progress import Progress
from quantize.verbs.common.options import Options, settings_of
from quantize.verbs.common.preparing import prepare
from quantize.verbs.common.results import Planned, SourceFacts


def plan(source: str, options: Options, progress: Progress | None = None) -> Planned:
    """Say what `convert` would write. Headers are read, and a few weights for a budget."""
    prepared = prepare(source, options, progress)
    needs = needs_of(prepared.plans, settings_of(options))
    return Planned(prepared.facts, prepared.plans, needs, prepared.notes)


def overview(
    source: str, options: Options, *, context: int | None = None, limit: int | None = None
) -> tuple[SourceFacts, Overview]:
    """Read headers only, and say what each file type would give; see overview_of."""
    prepared = prepare(source, options)
    stored = {weight.dtype for weight in prepared.opened.source.weights.values()}
    found = overview_of(
        prepared.model, stored, settings_of(options), context, limit, options.steering
    )
    return prepared.facts, found
