"""How source tensors become GGUF tensors: rows moved, values changed, shapes turned.

Families use these like words: `chain(Span(0, n), PermuteRope(heads))`. A new one is a class in the
file of its kind, a name here, and cases in tests/transforms.
"""

from __future__ import annotations

from quantize.transforms.base import (
    IDENTITY,
    ZEROS,
    Identity,
    Piece,
    Rows,
    RowTransform,
    Transform,
    WholeTensorTransform,
)
from quantize.transforms.chains import (
    RowChain,
    WholeTensorChain,
    apply_whole,
    chain,
    split_at_whole,
)
from quantize.transforms.elements import (
    Add,
    NegExp,
    RoundToF16,
    Scale,
    ScaleSpans,
)
from quantize.transforms.rows import (
    Every,
    FirstRows,
    Join,
    PadRows,
    Part,
    PermuteBlocks,
    PermuteRope,
    PickRows,
    Span,
    Stack,
    Ungroup,
    Unpair,
)
from quantize.transforms.shapes import (
    Refold,
    Reshape,
    Transpose,
)

__all__ = [
    "IDENTITY",
    "ZEROS",
    "Add",
    "Every",
    "FirstRows",
    "Identity",
    "Join",
    "NegExp",
    "PadRows",
    "Part",
    "PermuteBlocks",
    "PermuteRope",
    "PickRows",
    "Piece",
    "Refold",
    "Reshape",
    "RoundToF16",
    "RowChain",
    "RowTransform",
    "Rows",
    "Scale",
    "ScaleSpans",
    "Span",
    "Stack",
    "Transform",
    "Transpose",
    "Ungroup",
    "Unpair",
    "WholeTensorChain",
    "WholeTensorTransform",
    "apply_whole",
    "chain",
    "split_at_whole",
]
