"""A comparison for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from quantize.cli.events.base import Event
from quantize.cli.events.compare import (
    ComparisonEvent,
    KVDifferenceEvent,
    Measures,
    QualityEvent,
    QualityTotalEvent,
    SideEvent,
    TensorDifferenceEvent,
)
from quantize.cli.views.differences import first_difference
from quantize.execution.error_sums import TensorQuality
from quantize.formats.kv import KV
from quantize.measuring.grouped import MeasuredTensor, total, totals
from quantize.verbs.common.comparison import Comparison, KVDifference, SideFacts

# What is printed of an array.
_ENTRIES = 16

_GROUPS: tuple[tuple[str, Callable[[MeasuredTensor], str | int | None]], ...] = (
    ("type", lambda tensor: tensor.type),
    ("kind", lambda tensor: tensor.kind),
    ("layer", lambda tensor: tensor.layer),
)


def compare_events(found: Comparison, html: Path | None) -> Iterator[Event]:
    yield _side("reference", found.reference)
    yield _side("other", found.other)
    yield from map(_kv_difference, found.kvs)
    for one in found.tensors:
        yield TensorDifferenceEvent(
            event="tensor_difference",
            name=one.name,
            reference=None if one.reference is None else list(one.reference),
            other=None if one.other is None else list(one.other),
        )
    for tensor in found.measured:
        yield QualityEvent(
            event="quality",
            name=tensor.name,
            shape=list(tensor.shape),
            reference_type=tensor.reference_type,
            type=tensor.type,
            layer=tensor.layer,
            kind=tensor.kind,
            **measures(tensor.quality, tensor.measured),
        )
    yield from _totals(found)
    yield ComparisonEvent(
        event="comparison",
        kv_differences=len(found.kvs),
        tensor_differences=len(found.tensors),
        comparable=found.comparable,
        measured=len(found.measured),
        html=None if html is None else str(html),
    )


def _side(role: str, side: SideFacts) -> SideEvent:
    return SideEvent(
        event="side",
        role=role,
        name=side.name,
        location=side.location,
        kind=side.kind,
        arch=side.arch,
        tensors=side.tensors,
        n_params=side.n_params,
        nbytes=side.nbytes,
        bits_per_weight=side.bits_per_weight,
        nbytes_by_type=dict(side.nbytes_by_type),
    )


def _kv_difference(one: KVDifference) -> KVDifferenceEvent:
    a, b = one.reference, one.other
    first = None if a is None or b is None else first_difference(a.value, b.value)
    return KVDifferenceEvent(
        event="kv_difference",
        key=one.key,
        reference_type=None if a is None else a.type,
        type=None if b is None else b.type,
        reference=_value(a, first),
        other=_value(b, first),
        reference_length=_length(a),
        length=_length(b),
        first=first,
    )


def _value(kv: KV | None, first: int | None) -> Any:
    if kv is None or not isinstance(kv.value, tuple):
        return None if kv is None else kv.value
    start = first or 0
    return kv.value[start : start + _ENTRIES]


def _length(kv: KV | None) -> int | None:
    return len(kv.value) if kv is not None and isinstance(kv.value, tuple) else None


def _totals(found: Comparison) -> Iterator[QualityTotalEvent]:
    groups = [
        (by, str(of), one)
        for by, key in _GROUPS
        for of, one in totals(found.measured, key).items()
        if of is not None
    ]
    for by, of, one in (*groups, ("all", "", total(found.measured))):
        yield QualityTotalEvent(
            event="quality_total",
            by=by,
            of=of,
            tensors=one.tensors,
            n_params=one.weights,
            **measures(one.quality, one.measured),
        )


def measures(quality: TensorQuality, weights: int) -> Measures:
    return Measures(
        relative_rms=quality.relative_rms,
        snr_db=quality.snr_db,
        cosine=quality.cosine,
        largest=quality.largest,
        exact=quality.exact,
        weights_measured=weights,
        reference_not_finite=quality.reference_not_finite,
        not_finite=quality.not_finite,
    )
