"""What the options of a conversion ask for, worked out before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantize.errors import UsageError
from quantize.options import PlanOptions
from quantize.planning.automatic import is_automatic
from quantize.planning.edits import UNEDITED, Edits, edits_of
from quantize.planning.file_names import check_file_name
from quantize.planning.parts import WHOLE, Split, split_of
from quantize.recipes import UNSTEERED, Recipe, Steering
from quantize.recipes.budget import Budget, budget_of
from quantize.recipes.recipe_file import parse_recipe
from quantize.recipes.steering import steering_of
from quantize.recipes.type_option import parse_type
from quantize.storage.small_files import content


@dataclass(frozen=True, slots=True)
class Wanted:
    """`recipes` of the files that are wanted; none where the source or the budget decides.

    `steering` is for all of them, after their own. A `budget` has the types of single tensors
    measured and chosen. `edits` change the model itself.
    """

    recipes: tuple[Recipe, ...] = ()
    steering: Steering = UNSTEERED
    budget: Budget | None = None
    edits: Edits = UNEDITED
    split: Split = WHOLE


def wanted(options: PlanOptions) -> Wanted:
    """What the options say. Raises UnsupportedError, UsageError and DiskError."""
    if options.name is not None:
        check_file_name(options.name, "--name")
    if options.keep_quantized and options.allow_requantize:
        raise UsageError(
            "keep-or-requantize",
            "--keep-quantized and --allow-requantize say opposite things",
            reason="the one moves what is quantized already, the other quantizes it again",
            hint="leave out one of them",
        )
    steering, budget = steering_of(options), budget_of(options)
    files = [parse_recipe(content(Path(file)), str(file)) for file in options.recipe]
    named: tuple[str | Recipe, ...] = (*options.types, *files)
    recipes: tuple[Recipe, ...] = ()
    if named and not is_automatic(named):
        read = [one if isinstance(one, Recipe) else parse_type(one) for one in named]
        recipes = tuple(dict.fromkeys(one.steered(steering) for one in read))
        _check_names(recipes)
    if budget is not None and recipes:
        raise UsageError(
            "budget-and-types",
            f"{budget.said} chooses the types itself",
            reason="a file of a named type has the size that it has",
            hint="leave out --type and --recipe, or the budget; --tensor-type goes with both",
        )
    edits = edits_of(options, options)
    return Wanted(recipes, steering, budget, edits, split_of(options))


def _check_names(recipes: tuple[Recipe, ...]) -> None:
    names = [recipe.name.casefold() for recipe in recipes]
    for recipe in recipes:
        if names.count(recipe.name.casefold()) > 1:
            raise UsageError(
                "same-name",
                f"two files would be called by {recipe.name}",
                where="--type",
                reason="they are of one type, with different options",
                hint=f"name one of them: --type {recipe.mix.name},...,as=NAME",
            )
