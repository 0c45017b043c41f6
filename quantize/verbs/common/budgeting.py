"""Types for a size that a person names: measured, chosen for the least loss, and explained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import mul

from quantize.checkpoints.source import RowSource
from quantize.errors import UsageError
from quantize.formats.gguf import DEFAULT_ALIGNMENT, pad
from quantize.measuring.type_losses import Trial, sampled_losses
from quantize.options.run import RunOptions
from quantize.planning.model import Model, OutputTensor, in_one_file
from quantize.planning.plan import Plan
from quantize.planning.planner import choices_of, facts_of, make_plans, writable
from quantize.progress import Progress
from quantize.recipes import FileType, Recipe, Steering, TypeRule, plain
from quantize.recipes.budget import Budget, Option, spend
from quantize.recipes.categories import OUTPUT, category
from quantize.recipes.choosing import IN_NEED_OF_IMATRIX
from quantize.recipes.fallback import fitting
from quantize.recipes.sensitivity import sensitivity
from quantize.tensors import GGML_TYPES, tensor_nbytes
from quantize.units import format_bytes

_BASE = "Q4_K_M"  # chooses for what is not free: vectors and the like, the same in all mixes
_TRIED = (
    "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "Q3_K", "IQ4_XS", "Q4_K",
    "Q5_K", "Q6_K", "Q8_0",
)  # fmt: skip
_RIVALS = 3  # named mixes just below the budget that the result is held against


@dataclass(frozen=True, slots=True)
class _Rival:
    """A named mix: the bytes of its free tensors, and their types."""

    file_type: FileType
    nbytes: int
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rated:
    """The error of a choice of types, relative to the weights, and the size of its file."""

    name: str
    size: int
    error: float


@dataclass(frozen=True, slots=True)
class Budgeted:
    """The recipe that was found, and how it and the named mixes just below the budget rate."""

    recipe: Recipe
    own: Rated
    mixes: tuple[Rated, ...]

    @property
    def note(self) -> str:
        """A line that says what was gained."""
        rated = ", ".join(
            f"{mix.name} {100 * mix.error:.2f} % in {format_bytes(mix.size)}" for mix in self.mixes
        )
        against = f"; the mixes: {rated}" if rated else ""
        return f"{self.own.name}: error {100 * self.own.error:.2f} %, measured{against}"


@dataclass(frozen=True, slots=True)
class Candidates:
    """What can be chosen within a budget: tensors whose type nothing else decides, and mixes.

    `fixed` bytes of the file do not depend on the choice, `left` bytes are for the tensors at
    `places` of the plan. `trials` are those tensors with the types that each may get.
    """

    plan: Plan
    base: Recipe
    budget: Budget
    places: Sequence[int]
    fixed: int
    left: int
    mixes: Sequence[_Rival]
    rivals: Sequence[_Rival]
    trials: Sequence[Trial]
    weights: Sequence[float]


def budgeted(
    source: RowSource,
    model: Model,
    steering: Steering,
    budget: Budget,
    settings: RunOptions,
    progress: Progress,
) -> Budgeted:
    """The types that lose least within `budget`.

    What `steering` decides stays so. The largest named mixes that fit the budget are rated by the
    same measure, and one that lost less would be taken. Raises UsageError for a budget that nothing
    fits.
    """
    found = candidates(model, steering, budget)
    losses = sampled_losses(source, found.trials, settings, progress)
    return choose_within(found, steering, losses)


def candidates(model: Model, steering: Steering, budget: Budget) -> Candidates:
    """What the budget leaves to choose. Raises UsageError where not even the least fits."""
    base = plain(_BASE).steered(steering)
    (plan,) = make_plans(in_one_file(model), [base])
    places = _free(model, base)
    fixed = plan.size - sum(_room(plan, place, plan.tensors[place].type) for place in places)
    left = budget.limit(len(plan.header), plan.n_params) - fixed
    mixes = _mixes(model, plan, places, steering)
    rivals = _nearest([mix for mix in mixes if mix.nbytes <= left])
    trials = [
        Trial(plan.tensors[place], _types(model, place, [mix.types[index] for mix in rivals]))
        for index, place in enumerate(places)
    ]
    least = [
        min(_room(plan, place, type) for type in trial.types)
        for place, trial in zip(places, trials, strict=True)
    ]
    if sum(least) > left:
        raise _too_small(budget, fixed + sum(least))
    names = [plan.tensors[place].name for place in places]
    weights = _weights(names, facts_of(model).block_count)
    return Candidates(plan, base, budget, places, fixed, left, mixes, rivals, trials, weights)


def choose_within(
    found: Candidates, steering: Steering, losses: Sequence[Mapping[str, float]]
) -> Budgeted:
    """The best choice by what each type would lose of each tensor, `losses` as of the trials."""
    chosen = spend(
        [
            [
                Option(type, _room(found.plan, place, type), weight * loss)
                for type, loss in each.items()
            ]
            for place, weight, each in zip(found.places, found.weights, losses, strict=True)
        ],
        found.left,
    )

    def rated(name: str, nbytes: int, types: Sequence[str]) -> Rated:
        squares = [each[type] for each, type in zip(losses, types, strict=True)]
        total = sum(map(mul, found.weights, squares)) / max(sum(found.weights), 1)
        return Rated(name, found.fixed + nbytes, math.sqrt(total))

    types = tuple(option.type for option in chosen.options)
    own = rated(found.budget.said, chosen.nbytes, types)
    others = tuple(rated(mix.file_type.name, mix.nbytes, mix.types) for mix in found.rivals)
    for mix, other in zip(found.rivals, others, strict=True):
        if other.error < own.error:
            types, own = mix.types, replace(other, name=found.budget.said)
    names = [found.plan.tensors[place].name for place in found.places]
    recipe = Recipe(
        found.budget.name,
        min(found.mixes, key=lambda mix: abs(mix.nbytes - found.left)).file_type.id,
        found.base.mix,
        steering.over(Steering(_rules(found.budget, names, types))),
    )
    return Budgeted(recipe, own, others)


def _nearest(mixes: Sequence[_Rival]) -> list[_Rival]:
    """The largest ones, from the largest on."""
    return sorted(mixes, key=lambda mix: mix.nbytes, reverse=True)[:_RIVALS]


def _weights(names: Sequence[str], n_layers: int) -> list[float]:
    tied = all(category(name) != OUTPUT for name in names)
    return [sensitivity(name, n_layers, tied=tied) for name in names]


def _free(model: Model, base: Recipe) -> list[int]:
    """Places of the outputs whose type nobody and nothing else decides."""
    usual = plain(base.mix)
    requantizes = base.steering.allow_requantize
    return [
        place
        for place, (output, choice, unsteered) in enumerate(
            zip(model.outputs, choices_of(model, base), choices_of(model, usual), strict=True)
        )
        if choice == unsteered
        and GGML_TYPES[choice.type].block_size > 1
        and (requantizes or GGML_TYPES[output.stored].block_size == 1)
        and output.exact_type is None
    ]


def _room(plan: Plan, place: int, type_name: str) -> int:
    """Bytes the tensor takes in the file as this type, padding included."""
    return pad(tensor_nbytes(type_name, plan.tensors[place].shape), DEFAULT_ALIGNMENT)


def _mixes(model: Model, plan: Plan, places: Sequence[int], steering: Steering) -> list[_Rival]:
    """The named mixes that can be written of this model."""
    found = []
    for file_type, choices in writable(model, steering):
        if GGML_TYPES[file_type.default].block_size > 1:
            types = tuple(choices[place].type for place in places)
            nbytes = sum(map(partial(_room, plan), places, types))
            found.append(_Rival(file_type, nbytes, types))
    return found


def _types(model: Model, place: int, others: Iterable[str]) -> list[str]:
    """What to try on a tensor: the usual types as its rows fit them, and those of `others`."""
    output = model.outputs[place]
    tried = {fitting(type, output.shape[-1])[0] for type in _TRIED if _may(output, type)}
    return sorted(tried.union(others))


def _may(output: OutputTensor, type_name: str) -> bool:
    return output.imatrix is not None or type_name not in IN_NEED_OF_IMATRIX


def _rules(budget: Budget, names: Sequence[str], types: Sequence[str]) -> tuple[TypeRule, ...]:
    """One rule for each type, that with the most bits first."""
    by_type: dict[str, list[str]] = {}
    for name, type in zip(names, types, strict=True):
        by_type.setdefault(type, []).append(name)
    ordered = sorted(by_type, key=lambda type: -GGML_TYPES[type].bits_per_weight)
    return tuple(
        TypeRule(type, budget.said, tensors=tuple(by_type[type]), optional=True) for type in ordered
    )


def _too_small(budget: Budget, least: int) -> UsageError:
    return UsageError(
        "nothing-fits",
        f"no types make a file as small as {budget.said} asks for",
        where=budget.said,
        reason=f"the smallest has {format_bytes(least)}",
        hint="allow more, give an --imatrix, which makes smaller types possible, or take a "
        "smaller model",
    )
