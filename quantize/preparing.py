"""Open a source and plan its files: what every verb begins with."""

from __future__ import annotations

from dataclasses import dataclass

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.options import Options
from quantize.planning.adapters import (
    OpenedAdapter,
    merge_into,
    name_origins,
    notes_of,
    open_adapter,
)
from quantize.planning.automatic import choose_automatically, file_types_of, notes_on_encodings
from quantize.planning.fetching import to_download
from quantize.planning.from_adapter import (
    model_of_adapter,
    open_alone,
    opened_alone,
    plan_adapter,
)
from quantize.planning.from_checkpoint import model_of
from quantize.planning.from_gguf import model_of_gguf
from quantize.planning.opening import Opened, open_source
from quantize.planning.outputs import Model
from quantize.planning.plan import Plan
from quantize.planning.planner import make_plans
from quantize.recipes import FTYPES
from quantize.results import SourceFacts


@dataclass(frozen=True, slots=True)
class Prepared:
    opened: Opened
    facts: SourceFacts
    plans: tuple[Plan, ...]
    notes: tuple[str, ...]
    adapters: tuple[OpenedAdapter, ...]
    model: Model


def prepare_any(source: str, options: Options) -> Prepared:
    return _prepare_adapter(source, options) if options.adapter_only else prepare(source, options)


def _prepare_adapter(source: str, options: Options) -> Prepared:
    file_types = file_types_of(options.types) or (FTYPES["F32"],)
    found = open_adapter(source, options.token)
    origin = open_alone(found, options.base, options.token)
    model = model_of_adapter(origin, arch=options.arch, name=options.name)
    plans = plan_adapter(model, file_types)
    opened = opened_alone(found, origin)
    return Prepared(opened, _facts(opened, model, plans), plans, (), (found,), model)


def prepare(source: str, options: Options) -> Prepared:
    """A model opened and planned: what every verb begins with."""
    # Before anything is read: a mistyped type must not cost a download.
    file_types = file_types_of(options.types)
    opened = open_source(source, options.token)
    adapters = tuple(open_adapter(text, options.token) for text in options.lora)
    if adapters:
        opened = merge_into(opened, adapters)
    model = name_origins(_model(opened, options), opened, adapters)
    notes = (*notes_of(opened, adapters), *notes_on_encodings(opened.source, model))
    if file_types:
        plans = make_plans(model, file_types)
    else:
        automatic = choose_automatically(opened.source, model)
        plans = make_plans(model, [automatic.file_type], automatic.label)
        notes += (automatic.why,) if automatic.why else ()
    return Prepared(opened, _facts(opened, model, plans), plans, notes, adapters, model)


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
        weights=plans[0].weights,
        downloads=to_download(opened, plans[0]),
    )


def _model(opened: Opened, options: Options) -> Model:
    if isinstance(opened.source, GGUFFile):
        return model_of_gguf(opened.source, name=options.name)
    keep = options.keep_grid or not file_types_of(options.types)
    return model_of(
        opened.source, arch=options.arch, pre=options.pre, name=options.name, keep_grid=keep
    )
