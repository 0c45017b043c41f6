"""What a Python program calls. Nothing here prints, and nothing is guessed silently."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from quantize.architectures import ARCHITECTURES
from quantize.checkpoints.gguf_file import GGUFFile
from quantize.companions import write_manifest, write_modelfiles
from quantize.execution import Written, needs_of, run
from quantize.execution.overview import Overview, overview_of
from quantize.formats.imatrix_files import read_imatrix
from quantize.formats.imatrix_summary import Summary, summarize
from quantize.ollama import create, doctor
from quantize.ollama.existing import modelfile_beside
from quantize.ollama.modelfile import NOTHING_CHOSEN, Chosen
from quantize.options import Options, settings_of
from quantize.planning.fetching import LocalDigests, download, note_unchecked, stream
from quantize.planning.from_checkpoint import model_of
from quantize.planning.opening import open_source
from quantize.preparing import Prepared, open_sources, plan_sources, prepare
from quantize.progress import NullProgress, Progress
from quantize.recipes import FTYPES, FileType
from quantize.report import reports
from quantize.results import (
    Converted,
    InspectedTensor,
    Inspection,
    OutputFile,
    Planned,
    SourceFacts,
)
from quantize.storage.sink import make_folder

__all__ = [
    "Converted",
    "InspectedTensor",
    "Inspection",
    "Options",
    "OutputFile",
    "Planned",
    "SourceFacts",
    "architectures",
    "convert",
    "create_in_ollama",
    "diagnose",
    "imatrix",
    "inspect",
    "modelfile_text",
    "overview",
    "plan",
    "types",
]


def plan(source: str, options: Options, progress: Progress | None = None) -> Planned:
    """Say what `convert` would write. Headers are read, and a few weights for a budget."""
    prepared = prepare(source, options, progress)
    needs = needs_of(prepared.plans, settings_of(options))
    return Planned(prepared.facts, prepared.plans, needs, prepared.notes)


def overview(
    source: str, options: Options, *, context: int | None = None, limit: int | None = None
) -> tuple[SourceFacts, Overview]:
    """Read headers only, and say what each file type would give; see overview_of."""
    prepared = prepare(source, options)
    stored = {weight.dtype for weight in prepared.opened.source.weights.values()}
    found = overview_of(
        prepared.model, stored, settings_of(options), context, limit, options.steering
    )
    return prepared.facts, found


def convert(source: str, options: Options, progress: Progress | None = None) -> Converted:
    """Write the files of all types, their Modelfiles and the manifest into `options.output`."""
    started = time.perf_counter()
    sources = open_sources(source, options)
    # Planning reads a large vocabulary on one core; another has time for the digests meanwhile.
    progress = progress or NullProgress()
    with LocalDigests(sources.opened) as digests:
        prepared = plan_sources(sources, options, progress)
        written = _write(prepared, options, progress)
        files = tuple(
            OutputFile(one.path, plan.ftype, one.size, plan.bits_per_weight, one.sha256, one.shards)
            for plan, one in zip(prepared.plans, written, strict=True)
        )
        return Converted(
            source=prepared.facts,
            files=files,
            modelfiles=write_modelfiles(prepared, files, options, progress),
            manifest=write_manifest(prepared, written, options, digests.wait()),
            seconds=time.perf_counter() - started,
            kernels=written[0].kernels,
            reports=reports(prepared, written) if options.report else (),
        )


def _write(prepared: Prepared, options: Options, progress: Progress) -> tuple[Written, ...]:
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
        note_unchecked(prepared.opened, plans[0], progress)
        return written
    finally:
        origin.files.close()


def inspect(source: str, token: str | None = None) -> Inspection:
    """The key-values and tensors of a checkpoint or a GGUF file, from headers."""
    opened = open_source(source, token)
    origin = opened.source
    if isinstance(origin, GGUFFile):
        kind, kvs = "gguf", origin.kvs
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


def imatrix(file: Path) -> Summary:
    """What an importance matrix says of the columns of a model's tensors."""
    return summarize(read_imatrix(file))


def types() -> tuple[FileType, ...]:
    """The file types that `--type` takes."""
    return tuple(FTYPES.values())


def architectures() -> Mapping[str, str]:
    """Names of config.json and the GGUF architecture that each becomes."""
    return {name: ARCHITECTURES[name].arch for name in sorted(ARCHITECTURES, key=str.casefold)}
