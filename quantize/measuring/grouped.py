"""Measured tensors by what they are: by layer and kind for a picture, by type for a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from quantize.execution.error_sums import TensorQuality
from quantize.tensors import Shape, count

_LAYER = re.compile(r"(.*?)\bblk\.(\d+)\.(.+)")
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class MeasuredTensor:
    """One tensor of both sides. The types are the sides' own: ggml types, dtypes, encodings.

    `measured` of its weights stand for all of them in `quality`.
    """

    name: str
    shape: Shape
    reference_type: str
    type: str
    quality: TensorQuality
    measured: int

    @property
    def layer(self) -> int | None:
        """The number of its block; None outside of the blocks."""
        found = _LAYER.fullmatch(self.name)
        return int(found[2]) if found else None

    @property
    def kind(self) -> str:
        """Its name without the block: blk.7.attn_q.weight -> attn_q.weight."""
        found = _LAYER.fullmatch(self.name)
        return found[1] + found[3] if found else self.name


@dataclass(frozen=True, slots=True)
class Total:
    """Several tensors as one: the sums over all their weights, of which some were `measured`."""

    tensors: int
    weights: int
    measured: int
    quality: TensorQuality


def total(tensors: Iterable[MeasuredTensor]) -> Total:
    members = list(tensors)
    quality = sum((member.quality for member in members), TensorQuality())
    weights = sum(count(member.shape) for member in members)
    measured = sum(member.measured for member in members)
    return Total(len(members), weights, measured, quality)


def totals(
    tensors: Iterable[MeasuredTensor], key: Callable[[MeasuredTensor], Key]
) -> dict[Key, Total]:
    """Tensors with the same `key` together, in order of first appearance."""
    found: dict[Key, list[MeasuredTensor]] = {}
    for tensor in tensors:
        found.setdefault(key(tensor), []).append(tensor)
    return {name: total(members) for name, members in found.items()}
