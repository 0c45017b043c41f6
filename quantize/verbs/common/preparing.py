"""Open a source and plan its files: what every verb begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quantize.checkpoints.adapters.alone import LoneAdapter
from quantize.checkpoints.gguf_file import GGUFFile
from quantize.errors import UsageError
from quantize.formats.imatrix import Imatrix
from quantize.formats.imatrix_files import read_imatrix
from quantize.planning.automatic import choose_automatically, is_automatic, notes_on_encodings
from quantize.planning.editing import edited
from quantize.planning.edits import UNEDITED
from quantize.planning.from_checkpoint import model_of
from quantize.planning.from_gguf import model_of_gguf, not_split
from quantize.planning.importance import notes_on_imatrix
from quantize.planning.model import Model
from quantize.planning.parts import WHOLE
from quantize.planning.plan import Plan
from quantize.planning.planner import make_plans
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
from quantize.verbs.common.options import Options, recipes_of, settings_of
from quantize.verbs.common.results import SourceFacts


@dataclass(frozen=True, slots=True)
class Prepared:
    opened: Opened
    facts: SourceFacts
    recipes: tuple[Recipe, ...]
    plans: tuple[Plan, ...]
    notes: tuple[str, ...]
    adapters: tuple[OpenedAdapter, ...]
    model: Model
    imatrix: Imatrix | None = None


@dataclass(frozen=True, slots=True)
class OpenedInputs:
    """What the options name, opened: weights can be read of it. `recipes` may be none yet."""

    opened: Opened
    recipes: tuple[Recipe, ...]
    adapters: tuple[OpenedAdapter, ...]
    imatrix: Imatrix | None = None


def prepare(source: str, options: Options, progress: Progress | None = None) -> Prepared:
    """A model opened and planned: what every verb begins with."""
    return plan_sources(open_sources(source, options), options, progress or NullProgress())


def open_sources(source: str, options: Options) -> OpenedInputs:
    # Before anything is read: a mistyped type must not cost a download.
    recipes = recipes_of(options)
    if options.adapter_only:
        _check_for_adapter(options)
        found = open_adapter(source, options.token)
        opened = opened_alone(found, open_alone(found, options.base, options.token))
        return OpenedInputs(opened, recipes or (plain("F32"),), (found,))
    imatrix = None if options.imatrix is None else read_imatrix(options.imatrix)
    opened = open_source(source, options.token)
    adapters = tuple(open_adapter(text, options.token) for text in options.lora)
    if adapters:
        opened = merge_into(opened, adapters)
    return OpenedInputs(opened, recipes, adapters, imatrix)


def _check_for_adapter(options: Options) -> None:
    """Raise UsageError for options that a lone adapter would have to ignore."""
    if options.imatrix is not None:
        raise UsageError(
            "imatrix-of-adapter",
            "an importance matrix is for a model, not for an adapter",
            where="--imatrix",
            reason="the factors of an adapter are written as floats",
            hint="leave out --imatrix, or merge the adapter: --lora",
        )
    if options.budget is not None:
        raise UsageError(
            "budget-of-adapter",
            "types are chosen for the size of a model, not of an adapter",
            where=options.budget.said,
            reason="the factors of an adapter are written as floats",
            hint=f"leave out {options.budget.said}, or merge the adapter: --lora",
        )
    if options.edits != UNEDITED or options.split != WHOLE:
        raise UsageError(
            "edits-of-adapter",
            "what changes or splits a model is not for an adapter",
            where="--adapter-only",
            hint="leave out --override-kv, --prune-layers, --exclude-weights, "
            "--include-weights and --split-max-size",
        )


def plan_sources(sources: OpenedInputs, options: Options, progress: Progress) -> Prepared:
    """Weights are read for a budget only, and of those a few."""
    origin = sources.opened.source
    if isinstance(origin, LoneAdapter):
        return _plan_adapter(sources, origin, options)
    opened, recipes, adapters = sources.opened, sources.recipes, sources.adapters
    whole = name_origins(_model(opened, options), opened, adapters)
    called = options.imatrix_name or str(options.imatrix)
    whole = replace(whole, max_size=options.split.max_size)
    model, imatrix, edits = edited(whole, options.edits, sources.imatrix, called)
    notes = (*notes_of(opened, adapters), *notes_on_encodings(opened.source, model), *edits)
    if options.budget is not None:
        found = budgeted(
            origin, model, options.steering, options.budget, settings_of(options), progress
        )
        recipes, notes = (found.recipe,), (*notes, found.note)
    if not recipes:
        automatic = choose_automatically(opened.source, model)
        recipes = (automatic.recipe.steered(options.steering),)
        notes += (automatic.why,) if automatic.why else ()
    for recipe in recipes:
        check_rules(model, recipe)
    plans = make_plans(model, recipes)
    for recipe, plan in zip(recipes, plans, strict=True):
        notes += notes_on_recipe(model, recipe, plan)
    if imatrix is not None:
        notes += tuple(notes_on_imatrix(imatrix, plans))
    notes = tuple(dict.fromkeys(notes))
    facts = _facts(opened, model, plans)
    return Prepared(opened, facts, recipes, plans, notes, adapters, model, imatrix)


def _plan_adapter(sources: OpenedInputs, adapter: LoneAdapter, options: Options) -> Prepared:
    opened, recipes = sources.opened, sources.recipes
    model = model_of_adapter(adapter, arch=options.arch, name=options.name)
    plans = plan_adapter(model, recipes)
    facts = _facts(opened, model, plans)
    return Prepared(opened, facts, recipes, plans, (), sources.adapters, model)


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


def _model(opened: Opened, options: Options) -> Model:
    if isinstance(opened.source, GGUFFile):
        return model_of_gguf(
            opened.source,
            name=options.name,
            keep_quantized=options.keep_quantized,
            keep_split=options.split.keep,
        )
    if options.split.keep:
        raise not_split(opened.location)
    keep = options.keep_quantized or is_automatic(options.types)
    return model_of(
        opened.source, arch=options.arch, pre=options.pre, name=options.name, keep_quantized=keep
    )
