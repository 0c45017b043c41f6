"""What a person may choose for a conversion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from quantize.errors import UsageError
from quantize.execution import Settings
from quantize.ollama.modelfile.writing import NOTHING_CHOSEN, Chosen
from quantize.planning.automatic import AUTOMATIC, is_automatic
from quantize.planning.edits import UNEDITED, Edits
from quantize.planning.parts import WHOLE, Split
from quantize.recipes import UNSTEERED, Recipe, Steering
from quantize.recipes.budget import Budget
from quantize.recipes.type_option import parse_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`arch`, `pre` and `name` override what the source says.

    A type is the text of one, TYPE[,OPTION[=VALUE]]..., or a recipe; "auto" is chosen by the
    source. `steering` is for all of them, after their own. A `budget` has the types of single
    tensors measured and chosen instead. `edits` change the model itself. `keep_quantized`: weights
    that are quantized already and that a ggml type holds exactly become that type, whatever the
    others become. `lora`: adapters to merge, FOLDER or Hub id, each with "=SCALE" behind it if
    it is not to be taken as it is. `stream`: read the weights of a repository over HTTP and
    keep none of them. `adapter_only`: the source is an adapter, to become a GGUF adapter;
    `base` is where its base's config.json is, if not where the adapter says. `chosen` is for
    the Modelfile. `imatrix` is a file that says how much the columns of each tensor matter; the
    key-values call it by its path, as llama-quantize does, or by `imatrix_name`.
    """

    types: tuple[str | Recipe, ...] = (AUTOMATIC,)
    steering: Steering = UNSTEERED
    budget: Budget | None = None
    edits: Edits = UNEDITED
    split: Split = WHOLE
    imatrix: Path | None = None
    imatrix_name: str | None = None
    keep_quantized: bool = False
    lora: tuple[str, ...] = ()
    adapter_only: bool = False
    base: str | None = None
    output: Path = Path()
    arch: str | None = None
    pre: str | None = None
    name: str | None = None
    token: str | None = field(default=None, repr=False)
    stream: bool = False
    jobs: int | None = None
    max_memory: int | None = None
    kernels: str = "auto"
    fresh: bool = False
    report: bool = False
    chosen: Chosen = NOTHING_CHOSEN


def recipes_of(options: Options) -> tuple[Recipe, ...]:
    """The recipes of the files that are wanted; none where the source shall choose.

    Raises UnsupportedError and UsageError for types and options that make no sense.
    """
    if options.keep_quantized and options.steering.allow_requantize:
        raise UsageError(
            "keep-or-requantize",
            "--keep-quantized and --allow-requantize say opposite things",
            reason="the one moves what is quantized already, the other quantizes it anew",
            hint="leave out one of them",
        )
    if options.budget is not None and not is_automatic(options.types):
        raise UsageError(
            "budget-and-types",
            f"{options.budget.said} chooses the types itself",
            reason="a file of a named type has the size that it has",
            hint="leave out --type and --recipe, or the budget; --tensor-type goes with both",
        )
    if is_automatic(options.types):
        return ()
    recipes = [one if isinstance(one, Recipe) else parse_type(one) for one in options.types]
    steered = tuple(dict.fromkeys(one.steered(options.steering) for one in recipes))
    _check_names(steered)
    return steered


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


def settings_of(options: Options) -> Settings:
    return Settings(
        jobs=options.jobs,
        max_memory=options.max_memory,
        kernels=options.kernels,
        fresh=options.fresh,
        measures=options.report,
    )
