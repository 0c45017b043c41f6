"""What each file of a conversion lost: a comparison with the source, measured on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantize.execution import Written
from quantize.execution.inline_errors import measured_weights
from quantize.measuring.grouped import MeasuredTensor
from quantize.planning.plan import Plan
from quantize.sources.sides import stored_types
from quantize.tensors import count
from quantize.verbs.common.comparison import Comparison, SideFacts, kv_differences
from quantize.verbs.common.preparing import Prepared


def reports(prepared: Prepared, written: Sequence[Written]) -> tuple[Comparison, ...]:
    """For each file what `compare` says of the source and it.

    A tensor of which not all rows were measured has the sums of those that were, scaled to all its
    weights. The source's path is left out: nothing here depends on where it lies.
    """
    reference = _source(prepared)
    return tuple(
        _report(prepared, reference, plan, one)
        for plan, one in zip(prepared.plans, written, strict=True)
    )


def _report(prepared: Prepared, reference: SideFacts, plan: Plan, written: Written) -> Comparison:
    origin = prepared.opened.source
    measured = []
    for tensor, quality in zip(plan.tensors, written.qualities, strict=True):
        weights, part = count(tensor.shape), measured_weights(tensor)
        stored_as = stored_types(origin, tensor.sources)
        whole = quality.times(weights, part)
        measured.append(
            MeasuredTensor(tensor.name, tensor.shape, stored_as, tensor.type, whole, part)
        )
    file = SideFacts(
        written.path.stem,
        written.path.name,
        "gguf",
        plan.arch,
        len(plan.tensors),
        plan.n_params,
        plan.nbytes_by_type,
    )
    differences = kv_differences(prepared.model.kvs, plan.kvs, (reference.kind, file.kind))
    return Comparison(reference, file, differences, (), len(measured), tuple(measured))


def _source(prepared: Prepared) -> SideFacts:
    opened, plan = prepared.opened, prepared.plans[0]
    weights = opened.source.weights
    sizes: dict[str, int] = {}
    for name in sorted({name for tensor in plan.tensors for name in tensor.sources}):
        stored_as = stored_types(opened.source, [name])
        sizes[stored_as] = sizes.get(stored_as, 0) + weights[name].nbytes
    at = f"{opened.repo}@{opened.commit}" if opened.repo else Path(opened.location).name
    return SideFacts(
        opened.source.name,
        at,
        opened.source.kind,
        plan.arch,
        len(plan.tensors),
        plan.n_params,
        sizes,
    )
