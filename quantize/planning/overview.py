"""All file types of one model next to each other: what each would weigh, and which one fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from quantize.errors import UsageError
from quantize.formats.gguf import data_offsets
from quantize.planning.model import Model, in_one_file
from quantize.planning.planner import make_plans, writable
from quantize.recipes import FTYPES, UNSTEERED, FileType, Steering, plain
from quantize.tensors import FLOAT_TYPES, count, tensor_nbytes
from quantize.units import format_bytes

# A type of floats is worth its size only where the source has them.


@dataclass(frozen=True, slots=True)
class TypeSize:
    """`size` is that of the file in bytes, `nbytes` that of its tensors.

    `elements` says how many weights have which ggml type.
    """

    file_type: FileType
    size: int
    nbytes: int
    elements: Mapping[str, int]

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.nbytes / sum(self.elements.values())


def sizes(model: Model, steering: Steering = UNSTEERED) -> list[TypeSize]:
    """One row for each file type that can be written, the best first.

    The header is made once: it has the same length whatever the types are. All sizes are those of
    one file, which may then be split.
    """
    best = plain(next(iter(FTYPES))).steered(steering)
    (plan,) = make_plans(in_one_file(model), [best])
    header = len(plan.header)
    rows = []
    for file_type, choices in writable(model, steering):
        types = [choice.type for choice in choices]
        nbytes = [
            tensor_nbytes(type, tensor.shape)
            for type, tensor in zip(types, plan.tensors, strict=True)
        ]
        elements = Counter[str]()
        for type, tensor in zip(types, plan.tensors, strict=True):
            elements[type] += count(tensor.shape)
        size = header + data_offsets(nbytes)[1]
        rows.append(TypeSize(file_type, size, sum(nbytes), elements))
    return rows


def best_that_fits(
    rows: Sequence[TypeSize], stored: Collection[str], context_nbytes: int, limit: int
) -> TypeSize:
    """The best type whose weights fit into `limit` bytes with the `context_nbytes` of a context.

    `stored` are the dtypes of the source: no type of floats is better than those. Raises UsageError
    if none fits.
    """
    candidates = [row for row in rows if row.file_type.default not in FLOAT_TYPES - set(stored)]
    for row in candidates:
        if row.nbytes + context_nbytes <= limit:
            return row
    smallest = min(candidates, key=lambda row: row.nbytes)
    raise UsageError(
        "nothing-fits",
        f"no type fits into {format_bytes(limit)}",
        where="--fits",
        reason=f"{smallest.file_type.name} is the smallest and needs "
        f"{format_bytes(smallest.nbytes + context_nbytes)}, "
        f"{format_bytes(context_nbytes)} of it for the context",
        hint="try a shorter --context, or a smaller model",
    )
