"""What a Python program calls. Nothing here prints, and nothing is guessed silently."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantize.architectures import ARCHITECTURES
from quantize.checkpoints.adapters.alone import LoneAdapter
from quantize.checkpoints.gguf_file import GGUFFile
from quantize.execution import Needs, Settings, Written, needs_of, run
from quantize.execution.overview import Overview, overview_of
from quantize.formats.kv import KV
from quantize.ollama import create, doctor
from quantize.ollama.adapter import adapter_modelfile
from quantize.ollama.existing import modelfile_beside, modelfile_of_gguf
from quantize.ollama.modelfile import NOTHING_CHOSEN, Chosen, license_file, modelfile
from quantize.ollama.prompt import Prompt, prompt_of, source_of
from quantize.planning.adapters import (
    OpenedAdapter,
    merge_into,
    name_origins,
    notes_of,
    open_adapter,
)
from quantize.planning.automatic import (
    AUTOMATIC,
    choose_automatically,
    file_types_of,
    notes_on_encodings,
)
from quantize.planning.fetching import LocalDigests, download, stream, to_download
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
from quantize.progress import NullProgress, Progress
from quantize.publish.manifest import manifest
from quantize.publish.records import output_record, source_record
from quantize.recipes import FTYPES, FileType
from quantize.storage.sink import make_folder, write_text
from quantize.tensors import Shape
from quantize.vocab import end_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may choose. `arch`, `pre` and `name` override what the source says.

    The type "auto" is chosen by the source. `keep_grid`: weights that are quantized already and
    that a ggml type holds exactly become that type, whatever the others become. `lora`: adapters to
    merge, FOLDER or Hub id, each with "=SCALE" behind it if it is not to be taken as it is.
    `stream`: read the weights of a repository over HTTP and keep none of them.
    `adapter_only`: the source is an adapter, to become a GGUF adapter; `base` is where its base's
    config.json is, if not where the adapter says. `chosen` is for the Modelfile.
    """

    types: tuple[str, ...] = (AUTOMATIC,)
    keep_grid: bool = False
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
    chosen: Chosen = NOTHING_CHOSEN


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Where the weights come from. `nbytes` is what will be read, `commit` the Hub's.

    `downloads` are files of a repository that are not in the Hub's cache, with their sizes.
    """

    name: str
    location: str
    arch: str
    repo: str | None
    commit: str | None
    nbytes: int
    weights: int
    downloads: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a conversion would do: one plan for each type, in the order of the options.

    `notes` are what a person should know of it, a line each.
    """

    source: SourceFacts
    plans: tuple[Plan, ...]
    needs: Needs
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputFile:
    path: Path
    type: str
    size: int
    bits_per_weight: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion did."""

    source: SourceFacts
    files: tuple[OutputFile, ...]
    modelfiles: tuple[Path, ...]
    manifest: Path
    seconds: float
    kernels: str


@dataclass(frozen=True, slots=True)
class InspectedTensor:
    """`type` is a ggml type in a GGUF file, a dtype in a checkpoint."""

    name: str
    shape: Shape
    type: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a source holds. A checkpoint's key-values are those that its GGUF file would have."""

    kind: str
    name: str
    arch: str
    kvs: tuple[KV, ...]
    tensors: tuple[InspectedTensor, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    opened: Opened
    facts: SourceFacts
    plans: tuple[Plan, ...]
    notes: tuple[str, ...]
    adapters: tuple[OpenedAdapter, ...]
    model: Model


def plan(source: str, options: Options) -> Planned:
    """Read headers only, and say what `convert` would write."""
    prepared = _prepare(source, options)
    needs = needs_of(prepared.plans, settings_of(options))
    return Planned(prepared.facts, prepared.plans, needs, prepared.notes)


def overview(
    source: str, options: Options, *, context: int | None = None, limit: int | None = None
) -> tuple[SourceFacts, Overview]:
    """Read headers only, and say what each file type would give; see overview_of."""
    prepared = prepare(source, options)
    stored = {weight.dtype for weight in prepared.opened.source.weights.values()}
    found = overview_of(prepared.model, stored, settings_of(options), context, limit)
    return prepared.facts, found


def convert(source: str, options: Options, progress: Progress | None = None) -> Converted:
    """Write the files of all types, their Modelfiles and the manifest into `options.output`."""
    started = time.perf_counter()
    prepared = _prepare(source, options)
    progress = progress or NullProgress()
    for note in prepared.notes:
        progress.note(note)
    plans, origin = prepared.plans, prepared.opened.source
    make_folder(options.output)
    paths = [options.output / f"{plan.name}-{plan.ftype}.gguf" for plan in plans]
    settings = settings_of(options)
    if options.stream:
        settings = settings.without(stream(prepared.opened, options.max_memory))
    else:
        download(prepared.opened, plans[0], progress)
    digests = LocalDigests(prepared.opened, plans[0])
    try:
        written = run(
            plans,
            origin,
            paths,
            settings,
            progress,
            identity=prepared.opened.identity,
            by_source=prepared.opened.remote is not None,
        )
    finally:
        origin.files.close()
    files = tuple(
        OutputFile(one.path, plan.ftype, one.size, plan.bits_per_weight, one.sha256)
        for plan, one in zip(plans, written, strict=True)
    )
    return Converted(
        source=prepared.facts,
        files=files,
        modelfiles=_write_modelfiles(prepared, files, options),
        manifest=_write_manifest(prepared, written, options, digests.wait()),
        seconds=time.perf_counter() - started,
        kernels=written[0].kernels,
    )


def inspect(source: str, token: str | None = None) -> Inspection:
    """The key-values and tensors of a checkpoint or a GGUF file, from headers."""
    opened = open_source(source, token)
    origin = opened.source
    if isinstance(origin, GGUFFile):
        kind, kvs = "gguf", origin.header.kvs
        arch = str(next((kv.value for kv in kvs if kv.key == "general.architecture"), "?"))
    else:
        model = model_of(origin)
        kind, kvs, arch = "checkpoint", model.kvs, model.arch
    tensors = tuple(
        InspectedTensor(weight.name, weight.shape, weight.dtype, weight.nbytes)
        for weight in origin.weights.values()
    )
    return Inspection(kind, origin.name, arch, kvs, tensors)


def modelfile_text(file: Path, folder: Path, chosen: Chosen = NOTHING_CHOSEN) -> str:
    """A Modelfile in `folder` for a GGUF file, whoever made it."""
    return modelfile_beside(file, folder, chosen)


def diagnose(file: Path, modelfile: Path | None = None) -> tuple[doctor.Finding, ...]:
    """What Ollama will make of a GGUF file and its Modelfile."""
    return doctor.diagnose(file, modelfile)


def create_in_ollama(
    name: str,
    place: Path,
    progress: Progress | None = None,
    digests: Mapping[Path, str] | None = None,
) -> create.Created:
    """Make a model in Ollama from a Modelfile, or a folder with one, and look what became of it."""
    return create.create(name, place, progress or NullProgress(), digests)


def types() -> tuple[FileType, ...]:
    """The file types that `--type` takes."""
    return tuple(FTYPES.values())


def architectures() -> Mapping[str, str]:
    """Names of config.json and the GGUF architecture that each becomes."""
    return {name: ARCHITECTURES[name].arch for name in sorted(ARCHITECTURES, key=str.casefold)}


def _prepare(source: str, options: Options) -> Prepared:
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


def settings_of(options: Options) -> Settings:
    return Settings(
        jobs=options.jobs,
        max_memory=options.max_memory,
        kernels=options.kernels,
        fresh=options.fresh,
    )


def _write_modelfiles(
    prepared: Prepared, files: tuple[OutputFile, ...], options: Options
) -> tuple[Path, ...]:
    """`Modelfile` is the first type's; with several types each has `Modelfile.TYPE` as well."""
    prompt = _prompt(prepared.plans[0])
    texts = [_modelfile(prepared, file.path.name, prompt, options.chosen) for file in files]
    named = {"Modelfile": texts[0]}
    if len(files) > 1:
        named |= {f"Modelfile.{file.type}": text for file, text in zip(files, texts, strict=True)}
    for name, text in named.items():
        write_text(options.output / name, text)
    return tuple(options.output / name for name in named)


def _prompt(plan: Plan) -> Prompt | None:
    """None for a model without a chat template, or one that makes no text."""
    source = source_of(plan.value)
    is_embedder = plan.value(f"{plan.arch}.pooling_type") is not None
    return None if source is None or is_embedder else prompt_of(plan.arch, source)


def _modelfile(prepared: Prepared, file: str, prompt: Prompt | None, chosen: Chosen) -> str:
    origin, plan = prepared.opened.source, prepared.plans[0]
    if isinstance(origin, LoneAdapter):
        return adapter_modelfile(origin.adapter.settings.base, file)
    if isinstance(origin, GGUFFile):
        return modelfile_of_gguf(file, plan.kvs, prompt, chosen)
    license_name = license_file(origin.names())
    return modelfile(
        file,
        stops=end_tokens(origin, plan.kvs),
        generation=origin.read_json("generation_config.json"),
        license_text=origin.read(license_name) if license_name else None,
        prompt=prompt,
        is_embedder=plan.value(f"{plan.arch}.pooling_type") is not None,
        chosen=chosen,
    )


def _write_manifest(
    prepared: Prepared,
    written: tuple[Written, ...],
    options: Options,
    of_weights: Mapping[str, str],
) -> Path:
    plans = prepared.plans
    text = manifest(
        source_record(prepared.opened, plans[0], prepared.adapters, of_weights),
        {
            "types": [plan.ftype for plan in plans],
            "keep_grid": options.keep_grid or None,
            "arch": options.arch,
            "pre": options.pre,
            "name": options.name,
        },
        [output_record(plan, one) for plan, one in zip(plans, written, strict=True)],
    )
    path = options.output / "manifest.json"
    write_text(path, text)
    return path
