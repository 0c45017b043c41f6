"""Two models held against each other: key-values, tensors, and how far each tensor's values are."""

from __future__ import annotations

import math

from quantize.checkpoints.source import RowSource
from quantize.errors import UsageError, VerificationError
from quantize.measuring.grouped import MeasuredTensor
from quantize.measuring.tensor_errors import measure_tensors
from quantize.options import CompareOptions
from quantize.options.run import RunOptions
from quantize.progress import NullProgress, Progress
from quantize.sources.fetching import stream
from quantize.sources.sides import Side, open_side
from quantize.tensors import count
from quantize.verbs.common.comparison import (
    Comparison,
    SideFacts,
    TensorDifference,
    kv_differences,
)
from quantize.verifying.reproduction import sampled


def compare(
    reference: str,
    other: str,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
    *,
    sample: int | None = None,
) -> Comparison:
    """Measure `other` against `reference`; each is a GGUF file, a checkpoint folder or a Hub id.

    `sample` bounds how many tensors are measured. Raises UsageError for sides that have no tensor
    in common, and whatever opening and reading either of them raises.
    """
    options = options or CompareOptions()
    sides = open_side(reference, options.token), open_side(other, options.token)
    try:
        return _compare(*sides, options, progress or NullProgress(), sample)
    finally:
        for side in sides:
            side.opened.source.files.close()


def check_within(found: Comparison, limit: float) -> None:
    """Raise VerificationError if the relative error of a tensor is above `limit`.

    That is also so for a tensor that one side lacks or has in another shape, and for one that is
    not finite.
    """
    if found.tensors:
        raise VerificationError(
            "too-different",
            f"{len(found.tensors)} tensors cannot be compared",
            where=found.tensors[0].name,
            reason="one side lacks it, or has it in another shape",
        )
    worst = max(found.measured, key=lambda tensor: tensor.quality.severity)
    if worst.quality.severity > limit:
        relative = worst.quality.relative_rms
        raise VerificationError(
            "too-different",
            "the error is larger than it may be",
            where=worst.name,
            reason=f"it is {100 * relative:.3g} %, and the limit {100 * limit:.3g} %"
            if relative is not None and math.isfinite(worst.quality.severity)
            else "values are NaN, infinite, or come where the reference has zeros only",
        )


def _compare(
    reference: Side, other: Side, options: CompareOptions, progress: Progress, sample: int | None
) -> Comparison:
    tensors = _tensor_differences(reference, other)
    different = {difference.name for difference in tensors}
    comparable = [name for name in reference.tensors if name not in different]
    if not comparable:
        raise UsageError(
            "nothing-in-common",
            "no tensor of one has the name and shape of one of the other",
            where=f"{reference.opened.location}, {other.opened.location}",
            reason=f"one is {reference.arch}, the other {other.arch}",
            hint="compare two files of the same model",
        )
    chosen = sampled(comparable, sample)
    names = [name for place, name in enumerate(comparable) if place in chosen]
    settings = RunOptions(jobs=options.jobs, max_memory=options.max_memory)
    for side in (reference, other):
        if sample is None and side.opened.remote is not None:
            settings = settings.without(stream(side.opened, options.memory_bound))
    sources: tuple[RowSource, RowSource] = (reference.opened.source, other.opened.source)
    pairs = [(reference.tensors[name], other.tensors[name]) for name in names]
    qualities = measure_tensors(*sources, pairs, settings, progress)
    measured = tuple(
        MeasuredTensor(
            name,
            reference.tensors[name].shape,
            reference.types[name],
            other.types[name],
            quality,
            count(reference.tensors[name].shape),
        )
        for name, quality in zip(names, qualities, strict=True)
    )
    return Comparison(
        _facts(reference),
        _facts(other),
        kv_differences(reference.kvs, other.kvs, (reference.kind, other.kind)),
        tensors,
        len(comparable),
        measured,
    )


def _facts(side: Side) -> SideFacts:
    return SideFacts(
        side.opened.source.name,
        side.opened.location,
        side.kind,
        side.arch,
        len(side.tensors),
        side.n_params,
        side.nbytes_by_type,
    )


def _tensor_differences(reference: Side, other: Side) -> tuple[TensorDifference, ...]:
    found = []
    for name in [
        *reference.tensors,
        *(name for name in other.tensors if name not in reference.tensors),
    ]:
        shapes = [
            side.tensors[name].shape if name in side.tensors else None
            for side in (reference, other)
        ]
        if shapes[0] != shapes[1]:
            found.append(TensorDifference(name, *shapes))
    return tuple(found)
