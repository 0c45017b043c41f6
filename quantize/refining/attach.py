"""Metrics for the tensors of plans, found out just before a run or a comparison needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from quantize.checkpoints.source import RowSource
from quantize.formats.metric import Metric, write_metric
from quantize.planning.plan import Plan, PlannedTensor
from quantize.planning.refinement import EMBEDDING, EMBEDDING_DAMPING, Refinement, refines
from quantize.progress import Progress
from quantize.refining.embedding import embedding_metric

Inputs = Callable[[Sequence[PlannedTensor], Path], Mapping[str, Metric]]


@contextmanager
def with_metrics(
    plans: Sequence[Plan],
    source: RowSource,
    refinement: Refinement | None,
    folder: Path | None,
    progress: Progress,
    inputs: Inputs | None = None,
) -> Iterator[tuple[Plan, ...]]:
    """The plans, their tensors with metrics, which are in files below `folder` meanwhile.

    `inputs` makes those of the matrices that a text goes through, of the tensors it is given.

    The same source and options give the same metrics, so that an interrupted run finds them again.
    """
    wanted = {t.name: t for plan in plans for t in plan.tensors if refines(t)}
    if refinement is None or not wanted:
        yield tuple(plans)
        return
    with TemporaryDirectory(prefix=".refine-", dir=folder) as made:
        metrics = {} if inputs is None else dict(inputs(list(wanted.values()), Path(made)))
        if EMBEDDING in wanted:
            matrix = embedding_metric(plans[0], source, progress)
            metrics[EMBEDDING] = write_metric(
                Path(made, "embedding.f32"), [matrix], EMBEDDING_DAMPING, refinement.sweeps
            )
        yield tuple(_attached(plan, metrics) for plan in plans)


def _attached(plan: Plan, metrics: dict[str, Metric]) -> Plan:
    def one(tensor: PlannedTensor) -> PlannedTensor:
        found = metrics.get(tensor.name) if refines(tensor) else None
        return tensor if found is None else replace(tensor, metric=found, imatrix=None)

    return replace(plan, tensors=tuple(one(tensor) for tensor in plan.tensors))
