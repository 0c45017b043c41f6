"""Open a source and plan its files: what every verb begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from quantize.errors import UsageError
from quantize.formats.imatrix import Imatrix
from quantize.formats.imatrix_files import read_imatrix
from quantize.options import PlanOptions
from quantize.options.run import RunOptions
from quantize.planning.automatic import choose_automatically, notes_on_encodings
from quantize.planning.editing import edited
from quantize.planning.edits import UNEDITED
from quantize.planning.file_names import check_file_name
from quantize.planning.from_checkpoint import model_of
from quantize.planning.from_gguf import model_of_gguf, not_split
from quantize.planning.importance import notes_on_imatrix
from quantize.planning.model import Model
from quantize.planning.parts import WHOLE
from quantize.planning.plan import Plan
from quantize.planning.planner import make_plans
from quantize.planning.refinement import (
    Refinement,
    announced,
    notes_on_refinement,
    refinement_of,
)
from quantize.planning.steered import check_rules, notes_on_recipe
from quantize.progress import NullProgress, Progress
from quantize.recipes import Recipe, plain
from quantize.sources.adapters import (
    OpenedAdapter,
    merge_into,
    name_origins,
    notes_of,
    open_adapter,
)
from quantize.sources.fetching import to_download
from quantize.sources.from_adapter import (
    model_of_adapter,
    open_alone,
    opened_alone,
    plan_adapter,
)
from quantize.sources.opening import Opened, open_source
from quantize.verbs.common.budgeting import budgeted
from quantize.verbs.common.results import SourceFacts
from quantize.verbs.common.wanted import Wanted, wanted


@dataclass(frozen=True, slots=True)
class Prepared:
    opened: Opened
    facts: SourceFacts
    wanted: Wanted
    recipes: tuple[Recipe, ...]
    plans: tuple[Plan, ...]
    notes: tuple[str, ...]
    adapters: tuple[OpenedAdapter, ...]
    model: Model
    imatrix: Imatrix | None = None
    refinement: Refinement | None = None


@dataclass(frozen=True, slots=True)
class OpenedInputs:
    """What the options name, opened: weights can be read of it."""

    opened: Opened
    wanted: Wanted
    adapters: tuple[OpenedAdapter, ...]
    imatrix: Imatrix | None = None


def prepare(
    source: str,
    options: PlanOptions,
    progress: Progress | None = None,
    asked: Wanted | None = None,
) -> Prepared:
    """A model opened and planned: what every verb begins with.

    `asked` replaces what the options say about types, edits and files.
    """
    inputs = open_sources(source, options, asked)
    return plan_sources(inputs, options, progress or NullProgress())


def open_sources(source: str, options: PlanOptions, asked: Wanted | None = None) -> OpenedInputs:
    """Open what is to be read. Raises first what the options alone show to be wrong."""
    # Before anything is read: a mistyped type must not cost a download.
    asked = wanted(options) if asked is None else asked
    if options.adapter_only:
        _check_for_adapter(options, asked)
        found = open_adapter(source, options.token)
        alone = opened_alone(found, open_alone(found, options.base, options.token))
        return OpenedInputs(alone, asked, (found,))
    imatrix = None if options.imatrix is None else read_imatrix(Path(options.imatrix))
    opened = open_source(source, options.token)
    adapters = tuple(open_adapter(text, options.token) for text in options.lora)
    if adapters:
        opened = merge_into(opened, adapters)
    return OpenedInputs(opened, asked, adapters, imatrix)


def _check_for_adapter(options: PlanOptions, asked: Wanted) -> None:
    """Raise UsageError for options that a lone adapter would have to ignore."""
    if options.imatrix is not None:
        raise UsageError(
            "imatrix-of-adapter",
            "an importance matrix is for a model, not for an adapter",
            where="--imatrix",
            reason="the factors of an adapter are written as floats",
            hint="leave out --imatrix, or merge the adapter: --lora",
        )
    if options.refine is not None:
        raise UsageError(
            "refined-adapter",
            "an adapter has no token embedding to refine",
            where="--refine",
            hint="leave out --refine, or merge the adapter: --lora",
        )
    if asked.budget is not None:
        raise UsageError(
            "budget-of-adapter",
            "types are chosen for the size of a model, not of an adapter",
            where=asked.budget.said,
            reason="the factors of an adapter are written as floats",
            hint=f"leave out {asked.budget.said}, or merge the adapter: --lora",
        )
    if asked.edits != UNEDITED or asked.split != WHOLE:
        raise UsageError(
            "edits-of-adapter",
            "what changes or splits a model is not for an adapter",
            where="--adapter-only",
            hint="leave out --override-kv, --prune-layers, --exclude-weights, "
            "--include-weights and --split-max-size",
        )


def plan_sources(sources: OpenedInputs, options: PlanOptions, progress: Progress) -> Prepared:
    """Weights are read for a budget only, and of those a few."""
    origin = sources.opened.source
    if origin.kind == "adapter":
        return _plan_adapter(sources, options)
    opened, asked, adapters = sources.opened, sources.wanted, sources.adapters
    recipes = asked.recipes
    whole = name_origins(_model(opened, options, asked), opened, adapters)
    called = options.imatrix_name or str(options.imatrix)
    whole = replace(whole, max_size=asked.split.max_size)
    model, imatrix, edits = edited(whole, asked.edits, sources.imatrix, called)
    refinement = refinement_of(options)
    if refinement is not None:
        model = announced(model, refinement)
    on_encodings = notes_on_encodings(opened.source, model)
    notes = (*notes_of(opened, adapters), *model.notes, *on_encodings, *edits)
    if asked.budget is not None:
        settings = options.part(RunOptions)
        found = budgeted(origin, model, asked.steering, asked.budget, settings, progress)
        recipes, notes = (found.recipe,), (*notes, found.note)
    if not recipes:
        automatic = choose_automatically(opened.source, model)
        recipes = (automatic.recipe.steered(asked.steering),)
        notes += (automatic.why,) if automatic.why else ()
    for recipe in recipes:
        check_rules(model, recipe)
    plans = make_plans(model, recipes)
    _check_names(opened, plans)
    for recipe, plan in zip(recipes, plans, strict=True):
        notes += notes_on_recipe(model, recipe, plan)
    if imatrix is not None:
        notes += tuple(notes_on_imatrix(imatrix, plans))
    if refinement is not None:
        notes += tuple(note for plan in plans for note in notes_on_refinement(plan, refinement))
    notes = tuple(dict.fromkeys(notes))
    facts = _facts(opened, model, plans)
    return Prepared(
        opened, facts, asked, recipes, plans, notes, adapters, model, imatrix, refinement
    )


def _plan_adapter(sources: OpenedInputs, options: PlanOptions) -> Prepared:
    opened, recipes = sources.opened, sources.wanted.recipes or (plain("F32"),)
    model = _model(opened, options, sources.wanted)
    plans = plan_adapter(model, recipes)
    _check_names(opened, plans)
    facts = _facts(opened, model, plans)
    return Prepared(opened, facts, sources.wanted, recipes, plans, (), sources.adapters, model)


def _check_names(opened: Opened, plans: tuple[Plan, ...]) -> None:
    """A name may come of the source: its folder's, or the GGUF file's."""
    for plan in plans:
        for name in plan.file_names:
            check_file_name(name, opened.location)


def _facts(opened: Opened, model: Model, plans: tuple[Plan, ...]) -> SourceFacts:
    weights = opened.source.weights
    used = {name for tensor in plans[0].tensors for name in tensor.sources}
    return SourceFacts(
        name=model.name,
        location=opened.location,
        arch=model.arch,
        repo=opened.repo,
        commit=opened.commit,
        nbytes=sum(weights[name].nbytes for name in used),
        n_params=plans[0].n_params,
        downloads=to_download(opened, plans[0]),
    )


def _model(opened: Opened, options: PlanOptions, asked: Wanted) -> Model:
    source = opened.source
    if source.kind == "adapter":
        return model_of_adapter(source, model_class=options.model_class, name=options.name)
    if source.kind == "gguf":
        return model_of_gguf(
            source,
            name=options.name,
            keep_quantized=options.keep_quantized,
            keep_split=asked.split.keep,
        )
    if asked.split.keep:
        raise not_split(opened.location)
    keep = options.keep_quantized or not asked.recipes
    return model_of(
        source,
        model_class=options.model_class,
        pre=options.pre,
        name=options.name,
        keep_quantized=keep,
        pooling=options.pooling,
        strict_parity=options.strict_parity,
    )
