"""Whether a GGUF file is what it should be: by itself, by its manifest, by its source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.errors import UsageError
from quantize.formats.gguf_split import parts_of
from quantize.formats.imatrix_files import read_imatrix
from quantize.options import PlanOptions, VerifyOptions
from quantize.options.run import RunOptions
from quantize.planning.edits import UNEDITED, Edits, edits_of_record
from quantize.planning.importance import IMATRIX_FILE
from quantize.planning.parts import Split
from quantize.planning.refinement import is_refined_with_text, recorded_options
from quantize.progress import NullProgress, Progress
from quantize.publish.manifest_check import Recorded, check_digests, recorded
from quantize.recipes import Recipe, file_type_of_id, plain
from quantize.recipes.manifest_recipe import recipe_of
from quantize.refining.attach import with_metrics
from quantize.sources.fetching import stream
from quantize.storage.hub.repository import parse_hub_id
from quantize.verbs.common.preparing import prepare
from quantize.verbs.common.wanted import Wanted
from quantize.verifying.reproduction import compare_header, compare_with_source
from quantize.verifying.structure import check_structure, open_gguf
from quantize.vocab.doubts import doubts


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked: the structure always, `compared` tensors with the source if one was given.

    `by_manifest` is False where there is no manifest next to the file. `doubts`: what loads, and
    will not do what the model was made for.
    """

    path: Path
    tensors: int
    by_manifest: bool
    compared: int | None
    doubts: tuple[str, ...] = ()


def verify(
    file: Path,
    source: str | None = None,
    options: VerifyOptions | None = None,
    progress: Progress | None = None,
    *,
    sample: int | None = None,
) -> Verified:
    """Check a GGUF file, or all files of the model of which it is one.

    `sample` bounds how many tensors are made again from `source`.

    Raises VerificationError with the name of what is wrong, UsageError, DiskError.
    """
    if not file.is_file():
        raise UsageError("no-such-source", "no such file", where=str(file))
    progress = progress or NullProgress()
    options = options or VerifyOptions()
    for part in (file.with_name(name) for name in parts_of(file.name)):
        record = recorded(part) if part.is_file() else None
        if record is not None:
            check_digests(part, record, progress)
    record = recorded(file)
    opened = open_gguf(file)
    check_structure(opened, progress)
    compared = None
    if source is not None:
        compared = _compare(opened, record, source, options, progress, sample)
    return Verified(file, len(opened.weights), record is not None, compared, doubts(opened.kvs))


def _compare(
    opened: GGUFFile,
    record: Recorded | None,
    source: str,
    options: VerifyOptions,
    progress: Progress,
    sample: int | None,
) -> int:
    if is_refined_with_text(opened.kvs):
        raise UsageError(
            "refined-with-text",
            "the file was refined with a text, which the source does not tell",
            where=opened.file,
            reason="its codes cannot be made again from the source alone",
            hint="verify without --source",
        )
    made = _as_made(options, opened, record)
    asked = _asked(opened, record)
    source = _at_commit(source, record)
    prepared = prepare(source, made, asked=asked)
    plan = prepared.plans[0]
    if record is not None and plan.digest != record.output["plan"]:
        # That the source chose the type itself is not recorded.
        steering = prepared.recipes[0].steering
        automatic = prepare(source, made, asked=replace(asked, recipes=(), steering=steering))
        if automatic.plans[0].digest == record.output["plan"]:
            prepared, plan = automatic, automatic.plans[0]
    if record is not None:
        compare_header(opened, plan)
    if sample is None and prepared.opened.remote is not None:
        stream(prepared.opened, options.memory_bound)
    try:
        origin, refinement = prepared.opened.source, prepared.refinement
        with with_metrics([plan], origin, refinement, None, progress) as (measured,):
            return compare_with_source(
                opened, measured, origin, made.part(RunOptions), progress, sample=sample
            )
    finally:
        prepared.opened.source.files.close()


def _as_made(options: VerifyOptions, opened: GGUFFile, record: Recorded | None) -> PlanOptions:
    """What the source is read with: as the manifest says, else as the header tells."""
    is_adapter = opened.kvs.value("general.type") == "adapter"
    made = {} if record is None else record.options
    merged = options.lora if record is None else _adapters(options, opened, record)
    return PlanOptions(
        lora=() if is_adapter else merged,
        adapter_only=is_adapter,
        base=options.base,
        imatrix=options.imatrix,
        imatrix_name=_imatrix_name(options, opened, record),
        **_refinement(opened, record),
        keep_quantized=bool(made.get("keep_quantized")),
        model_class=made.get("model_class"),
        pre=made.get("pre"),
        pooling=made.get("pooling"),
        strict_parity=bool(made.get("strict_parity")),
        name=made.get("name"),
        token=options.token,
        jobs=options.jobs,
        max_memory=options.max_memory,
        kernels=options.kernels,
    )


def _refinement(opened: GGUFFile, record: Recorded | None) -> dict[str, Any]:
    """The options of the refinement that the header tells of. Raises UsageError for odd ones."""
    recorded = recorded_options(opened.kvs)
    if recorded is None:
        return {}
    with _understood(f"{opened.file}: quantize.refine"):
        return recorded


def _asked(opened: GGUFFile, record: Recorded | None) -> Wanted:
    """The types, edits and files that the manifest records, else the type that the header names."""
    if record is not None:
        recipe = _recipe(record, opened.file)
        return Wanted(
            (recipe,), edits=_edits(record, opened.file), split=_split(record, opened.file)
        )
    named = file_type_of_id(opened.kvs.value("general.file_type"))
    return Wanted(() if named is None else (plain(named),))


def _adapters(options: VerifyOptions, opened: GGUFFile, record: Recorded) -> tuple[str, ...]:
    """What was merged: as it is given now, else from the Hub at the recorded commits.

    Raises UsageError for adapters that only the person knows the place of.
    """
    made = record.source.get("adapters") or []
    if not options.lora and all("repo" in one for one in made):
        return tuple(f"{one['repo']}@{one['commit']}={one['scale']}" for one in made)
    if len(options.lora) != len(made):
        raise UsageError(
            "merged-source",
            "not the adapters that were merged into the model",
            where=opened.file,
            reason=f"merged: {', '.join(str(one['name']) for one in made) or 'none'}",
            hint="--lora ADAPTER[=SCALE] for each of those, as for convert",
        )
    return tuple(options.lora)


def _at_commit(source: str, record: Recorded | None) -> str:
    """The recorded repository at the recorded commit, unless another revision is asked for."""
    if record is None or Path(source).exists():
        return source
    repo, commit = record.source.get("repo"), record.source.get("commit")
    return f"{repo}@{commit}" if commit and parse_hub_id(source) == (repo, None) else source


def _recipe(record: Recorded, file: str) -> Recipe:
    """Of a recorded file. Raises UsageError for a record that makes no sense."""
    name = str(record.output["type"])
    with _understood(f"{file}: recipes: {name}"):
        recorded = record.options.get("recipes", {}).get(name)
        return plain(name) if recorded is None else recipe_of(name, recorded)


def _edits(record: Recorded, file: str) -> Edits:
    with _understood(f"{file}: edits"):
        recorded = record.options.get("edits")
        return UNEDITED if recorded is None else edits_of_record(recorded)


def _split(record: Recorded, file: str) -> Split:
    with _understood(f"{file}: split"):
        return Split(**record.options.get("split", {}))


@contextmanager
def _understood(where: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UsageError(
            "bad-manifest",
            "the manifest does not say how the file was made",
            where=where,
            reason=f"{type(error).__name__}: {error}",
            hint="verify without --source",
        ) from error


def _imatrix_name(options: VerifyOptions, opened: GGUFFile, record: Recorded | None) -> str | None:
    """The file's own name of the importance matrix that it was made with.

    Raises UsageError where another matrix is given, or one is and none was used.
    """
    named = opened.kvs.value(IMATRIX_FILE)
    made = named if record is None else record.options.get("imatrix")
    if made is None and options.imatrix is None:
        return None
    if made is None or options.imatrix is None:
        raise UsageError(
            "imatrix-of-file",
            f"it was made with{'out' if made is None else ''} an importance matrix",
            where=opened.file,
            reason=None if named is None else f"it was called {named!r}",
            hint="leave out --imatrix" if made is None else "--imatrix FILE",
        )
    if record is not None and read_imatrix(Path(options.imatrix)).sha256 != made["sha256"]:
        raise UsageError(
            "imatrix-of-file",
            "it was made with another importance matrix",
            where=str(options.imatrix),
            reason=f"the SHA-256 of {made['file']} is {made['sha256']} in the manifest",
            hint="give that file",
        )
    return named.decode("utf-8", "surrogateescape") if isinstance(named, bytes) else named
