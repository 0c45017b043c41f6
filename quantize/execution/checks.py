"""Weights that must not be written: NaN, infinities, and magnitudes that a type cannot hold.

The common path is one pass over the values and one over the scales of the stored blocks, the same
fields that ggml_validate_row_data looks at. What exactly is wrong, and where it begins, is found
out only when something is: by reading the tensor again from its start, so that the message does
not depend on which worker was first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.checkpoints.source import RowSource
from quantize.errors import CheckpointError
from quantize.execution.rows import planned_rows, row_ranges
from quantize.kernels.floats import check_finite, f16_overflows
from quantize.planning.plan import PlannedTensor
from quantize.tensors import (
    GGML_TYPES,
    Shape,
    as_rows,
)


@dataclass(frozen=True, slots=True)
class ScaleFields:
    """Scale fields at these byte offsets; one is NaN or infinite if all bits of `mask` are set."""

    offsets: tuple[int, ...]
    mask: int = 0x7C00  # the exponent of float16
    dtype: str = "<u2"


# Offsets from ggml-common.h. F32 holds whatever is finite. IQ1_M has four bits of its scale on top
# of each of four words; the scales of NVFP4 have no infinity.
SCALES = {
    "F16": ScaleFields((0,)),
    "BF16": ScaleFields((0,), mask=0x7F80),
    "Q4_0": ScaleFields((0,)),
    "Q4_1": ScaleFields((0, 2)),
    "Q5_0": ScaleFields((0,)),
    "Q5_1": ScaleFields((0, 2)),
    "Q8_0": ScaleFields((0,)),
    "Q2_K": ScaleFields((80, 82)),
    "Q3_K": ScaleFields((108,)),
    "Q4_K": ScaleFields((0, 2)),
    "Q5_K": ScaleFields((0, 2)),
    "Q6_K": ScaleFields((208,)),
    "IQ2_XXS": ScaleFields((0,)),
    "IQ2_XS": ScaleFields((0,)),
    "IQ2_S": ScaleFields((0,)),
    "IQ3_XXS": ScaleFields((0,)),
    "IQ3_S": ScaleFields((0,)),
    "IQ1_S": ScaleFields((0,)),
    "IQ1_M": ScaleFields((48,), mask=0x7000_C000_0000_0000, dtype="<u8"),
    "IQ4_NL": ScaleFields((0,)),
    "IQ4_XS": ScaleFields((0,)),
    "TQ1_0": ScaleFields((52,)),
    "TQ2_0": ScaleFields((64,)),
    "MXFP4": ScaleFields((0,), mask=0xFF, dtype="u1"),
    "Q1_0": ScaleFields((0,)),
    "Q2_0": ScaleFields((0,)),
}


def overflows(type_name: str, data: NDArray[np.uint8]) -> bool:
    """Whether a scale or a value in `data`, uint8 `(n, row_nbytes)`, is infinite or NaN."""
    scales = SCALES.get(type_name)
    if scales is None:
        return False
    blocks = data.reshape(-1, GGML_TYPES[type_name].type_size)
    mask = np.dtype(scales.dtype).type(scales.mask)
    for offset in scales.offsets:
        width = np.dtype(scales.dtype).itemsize
        field = blocks[:, offset : offset + width].view(scales.dtype)
        if field.size and np.bitwise_and(field, mask).max() == mask:
            return True
    return False


def not_finite(source: RowSource, tensor: PlannedTensor, step: int) -> CheckpointError:
    """The refusal of a tensor that has a NaN or an infinity somewhere."""
    with np.errstate(over="ignore", invalid="ignore"):
        for name in tensor.sources:
            shape = source.weights[name].shape
            rows, cols = as_rows(shape)
            for lo, hi in row_ranges(rows, cols, step):
                values = source.decode_rows(name, lo, hi).reshape(-1)
                found = check_finite(values)
                if found is not None:
                    where = f"{name} ({tensor.name})"
                    return _not_finite(where, shape, lo * cols + found, values[found])
    # The sources are fine, so the arithmetic of the transform has left float32's range.
    for lo, hi in row_ranges(tensor.rows, tensor.cols, step):
        values = planned_rows(source, tensor, lo, hi, step).reshape(-1)
        found = check_finite(values)
        if found is not None:
            index = lo * tensor.cols + found
            return _not_finite(tensor.name, tensor.full_shape, index, values[found])
    return CheckpointError(
        "source-changed",
        "the weights are not what they were a moment ago",
        where=tensor.name,
        hint="start again when nothing writes to the checkpoint any more",
    )


def _not_finite(where: str, shape: Shape, index: int, value: np.float32) -> CheckpointError:
    place = ", ".join(str(i) for i in np.unravel_index(index, shape))
    return CheckpointError(
        "non-finite-weight",
        f"the weight at [{place}] is {'NaN' if np.isnan(value) else 'infinite'}",
        where=where,
        reason="one such weight spoils everything that the model computes with it",
        hint="download the file again; if it stays so, the checkpoint itself is broken",
    )


def too_large(source: RowSource, tensor: PlannedTensor, step: int) -> CheckpointError:
    """The refusal of a tensor with magnitudes that its type cannot hold."""
    over, top, index = 0, np.float32(-1), 0
    for lo, hi in row_ranges(tensor.rows, tensor.cols, step):
        rows = planned_rows(source, tensor, lo, hi, step)
        over += f16_overflows(rows)
        magnitude = np.abs(rows.reshape(-1))
        if magnitude.size and magnitude.max() > top:
            top, index = magnitude.max(), lo * tensor.cols + int(magnitude.argmax())
    place = ", ".join(str(i) for i in np.unravel_index(index, tensor.full_shape))
    largest = f"the largest magnitude is {float(top):.4g}, at [{place}]"
    if tensor.type == "F16":
        return CheckpointError(
            "f16-overflow",
            f"{over} weights are too large for F16",
            where=tensor.name,
            reason=f"F16 ends at 65504; {largest}",
            hint="use --type BF16, which has the range of F32",
        )
    return CheckpointError(
        "scale-overflow",
        f"the weights are too large for {tensor.type}",
        where=tensor.name,
        reason=f"the scale of a block would be infinite; {largest}",
        hint="use --type BF16, which has the range of F32",
    )


def check_rows(source: RowSource, tensor: PlannedTensor, rows: F32Array, step: int) -> None:
    """Raise CheckpointError unless all values are finite."""
    if check_finite(rows) is not None:
        raise not_finite(source, tensor, step)
