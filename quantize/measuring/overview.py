"""All file types of one model next to each other: size, memory and time of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from quantize.measuring.speed import seconds_of
from quantize.options.run import RunOptions
from quantize.planning.context_memory import context_memory, longest_context
from quantize.planning.model import Model
from quantize.planning.overview import best_that_fits, sizes
from quantize.recipes import UNSTEERED, Steering

_CONTEXT = 4096  # what Ollama gives a model by default


@dataclass(frozen=True, slots=True)
class TypeRow:
    """What one file type would be: `memory` is that of the weights and of the context."""

    type: str
    description: str
    size: int
    bits_per_weight: float
    memory: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Overview:
    """One row for each type, the best first; `fits` is the best one within `limit` bytes."""

    context: int
    context_memory: int
    rows: tuple[TypeRow, ...]
    limit: int | None
    fits: TypeRow | None


def overview_of(
    model: Model,
    stored: Collection[str],
    settings: RunOptions,
    context: int | None,
    limit: int | None,
    steering: Steering = UNSTEERED,
) -> Overview:
    """`stored` are the dtypes of the source, `context` the tokens that count as memory.

    None are 4096, or as many as the model was made for if that is less. Raises UsageError if no
    type fits into `limit` bytes.
    """
    if context is None:
        context = min(_CONTEXT, longest_context(model.written_kvs) or _CONTEXT)
    context_nbytes = context_memory(model.written_kvs, context)
    found = sizes(model, steering)
    fits = None if limit is None else best_that_fits(found, stored, context_nbytes, limit)
    elements = [row.elements for row in found]
    times = seconds_of(elements, settings, weighted=model.has_imatrix)
    rows = tuple(
        TypeRow(
            row.file_type.name,
            row.file_type.description,
            row.size,
            row.bits_per_weight,
            row.nbytes + context_nbytes,
            seconds,
        )
        for row, seconds in zip(found, times, strict=True)
    )
    chosen = None if fits is None else rows[found.index(fits)]
    return Overview(context, context_nbytes, rows, limit, chosen)
