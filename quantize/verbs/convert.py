"""From a source to GGUF files, their Modelfiles and a manifest."""

from __future__ import annotations

import time

from quantize.execution import Written, run
from quantize.options import Options
from quantize.options.run import RunOptions
from quantize.progress import NullProgress, Progress
from quantize.refining.attach import Inputs, with_metrics
from quantize.sources.fetching import LocalDigests, download, note_unchecked, stream
from quantize.storage.sink import make_folder
from quantize.verbs.common.calibrating import calibrated
from quantize.verbs.common.companions import write_manifest, write_modelfiles
from quantize.verbs.common.outputs import check_outputs
from quantize.verbs.common.preparing import Prepared, open_sources, plan_sources
from quantize.verbs.common.report import reports
from quantize.verbs.common.results import Converted, OutputFile


def convert(source: str, options: Options, progress: Progress | None = None) -> Converted:
    """Write the files of all types, their Modelfiles and the manifest into `options.output`.

    >>> converted = convert("my-model", Options(types=("Q4_K_M", "Q8_0"), output=Path("out")))
    >>> [file.path.name for file in converted.files]
    ['my-model-Q4_K_M.gguf', 'my-model-Q8_0.gguf']
    >>> verify(converted.files[0].path).by_manifest
    True
    """
    started = time.perf_counter()
    progress = progress or NullProgress()
    with calibrated(source, options, convert, progress) as (chosen, inputs):
        return _convert(source, chosen, progress, inputs, started)


def _convert(
    source: str, options: Options, progress: Progress, inputs: Inputs | None, started: float
) -> Converted:
    sources = open_sources(source, options)
    # Planning reads a large vocabulary on one core; another has time for the digests meanwhile.
    with LocalDigests(sources.opened) as digests:
        prepared = plan_sources(sources, options, progress)
        check_outputs(prepared, options)
        written = _write(prepared, options, progress, digests, inputs)
        files = tuple(
            OutputFile(
                one.path, plan.recipe_name, one.size, plan.bits_per_weight, one.sha256, one.shards
            )
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


def _write(
    prepared: Prepared,
    options: Options,
    progress: Progress,
    digests: LocalDigests,
    inputs: Inputs | None,
) -> tuple[Written, ...]:
    def check_source() -> None:
        # The digests in the manifest must be those of the weights that were read.
        digests.wait()
        prepared.opened.check_unchanged()

    for note in prepared.notes:
        progress.note(note)
    plans, origin = prepared.plans, prepared.opened.source
    make_folder(options.folder)
    paths = [options.folder / plan.file_name for plan in plans]
    settings = options.part(RunOptions)
    if options.stream:
        settings = settings.without(stream(prepared.opened, options.memory_bound))
    else:
        download(prepared.opened, plans[0], progress)
    try:
        folder, refinement = options.folder, prepared.refinement
        with with_metrics(plans, origin, refinement, folder, progress, inputs) as measured:
            written = run(
                measured,
                origin,
                paths,
                settings,
                progress,
                identity=prepared.opened.identity,
                by_source=prepared.opened.remote is not None,
                before_commit=check_source,
            )
        note_unchecked(prepared.opened, plans[0], progress)
        return written
    finally:
        origin.files.close()
