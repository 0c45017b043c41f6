"""Which layers a rule is for."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layers:
    """The union of what is given.

    `first` and `last` are numbers of layers, or parts of them all if less than 1: rounded as
    llama.cpp's mixes round, down for the first and up for the last. `every` takes each so many-th
    of the layers after the `first`. `listed` are numbers of layers, counted from 0.
    """

    first: float = 0
    last: float = 0
    every: int = 0
    listed: tuple[int, ...] = ()

    def hold(self, layer: int, n_layers: int) -> bool:
        """Whether `layer` of `n_layers` is one of them."""
        first = math.floor(_number(self.first, n_layers))
        last = math.ceil(_number(self.last, n_layers))
        return (
            layer < first
            or layer >= n_layers - last
            or (self.every > 0 and (layer - first) % self.every == self.every - 1)
            or layer in self.listed
        )


def _number(value: float, n_layers: int) -> float:
    return round(value * n_layers, 6) if value < 1 else value
