"""The types that lose least within a number of bytes: one option of each tensor, a knapsack.

Errors of different tensors are added up, so an option is worth what it takes off the sum for each
byte more. The steps that are worth most are taken first, as far as the bytes go: that is the best
there is when they end with a step, and never further from it than one step otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from quantize.errors import UsageError
from quantize.options.types import SteeringOptions
from quantize.recipes.recipe import check_name
from quantize.units import parse_size


@dataclass(frozen=True, slots=True)
class SizeBudget:
    """A file of at most `size` bytes.

    `name` becomes a part of the file's name, `said` is what the person wrote.
    """

    name: str
    said: str
    size: int

    def limit(self, header: int, n_params: int) -> int:
        """Bytes that the file may have, for a header of so many bytes and so many weights."""
        return self.size


@dataclass(frozen=True, slots=True)
class BitsBudget:
    """A file with at most `bits` for each weight on average, next to its header."""

    name: str
    said: str
    bits: float

    def limit(self, header: int, n_params: int) -> int:
        """Bytes that the file may have, for a header of so many bytes and so many weights."""
        return header + math.floor(self.bits * n_params / 8)


Budget: TypeAlias = SizeBudget | BitsBudget


def budget_of(options: SteeringOptions) -> Budget | None:
    """The budget of --target-size or --bits; None without either. Raises UsageError."""
    target_size, bits = options.target_size, options.bits
    if target_size is None:
        return None if bits is None else BitsBudget(f"{bits:g}bpw", f"--bits {bits:g}", bits)
    if bits is not None:
        raise UsageError(
            "two-budgets",
            "--target-size and --bits say the same in two ways",
            hint="leave out one of them",
        )
    said = f"--target-size {target_size}"
    name = "".join(target_size.split())
    return SizeBudget(check_name(name, said), said, parse_size(target_size))


@dataclass(frozen=True, slots=True)
class Option:
    """A type that a tensor could have: what it would take, and what it would lose."""

    type: str
    nbytes: int
    error: float


@dataclass(frozen=True, slots=True)
class Spent:
    """One option for each tensor. No choice within the budget has an error below `kept`."""

    options: tuple[Option, ...]
    bound: float

    @property
    def nbytes(self) -> int:
        return sum(option.nbytes for option in self.options)

    @property
    def error(self) -> float:
        return sum(option.error for option in self.options)


@dataclass(frozen=True, slots=True)
class _Step:
    """From one option of the tensor at `place` to a larger one."""

    place: int
    to: Option
    more: int
    gain: float

    @property
    def worth(self) -> float:
        return self.gain / self.more


def spend(tensors: Sequence[Sequence[Option]], budget: int) -> Spent:
    """The choice with the least total error in `budget` bytes, which the smallest options fit.

    Each tensor has at least one option.
    """
    chosen = [min(options, key=lambda one: (one.nbytes, one.error)) for options in tensors]
    left = budget - sum(option.nbytes for option in chosen)
    bound = sum(option.error for option in chosen)
    steps = [
        step for place, options in enumerate(tensors) for step in _hull(place, chosen, options)
    ]
    stuck: set[int] = set()
    for step in sorted(steps, key=lambda step: -step.worth):
        if step.more > left and not stuck:
            # Part of a step, were there such a thing: no choice can do better.
            bound -= step.worth * left
        if step.more > left or step.place in stuck:
            stuck.add(step.place)
            continue
        chosen[step.place] = step.to
        left -= step.more
        bound -= 0.0 if stuck else step.gain
    _fill(tensors, chosen, left)
    return Spent(tuple(chosen), bound)


def _hull(place: int, chosen: Sequence[Option], options: Sequence[Option]) -> Iterator[_Step]:
    """Steps from the smallest option up, each worth less than the one before."""
    at = chosen[place]
    while steps := [_step(place, at, to) for to in options if _is_better(at, to)]:
        best = max(steps, key=lambda step: (step.worth, step.more))
        yield best
        at = best.to


def _fill(tensors: Sequence[Sequence[Option]], chosen: list[Option], left: int) -> None:
    """Spend what is left on whatever still fits."""
    while True:
        steps = [
            _step(place, chosen[place], to)
            for place, options in enumerate(tensors)
            for to in options
            if _is_better(chosen[place], to) and to.nbytes - chosen[place].nbytes <= left
        ]
        if not steps:
            return
        best = max(steps, key=lambda step: step.gain)
        chosen[best.place] = best.to
        left -= best.more


def _is_better(at: Option, to: Option) -> bool:
    return to.nbytes > at.nbytes and to.error < at.error


def _step(place: int, at: Option, to: Option) -> _Step:
    return _Step(place, to, to.nbytes - at.nbytes, at.error - to.error)
