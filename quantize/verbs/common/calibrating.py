"""A text through a model, and what is learned of the inputs of its matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.errors import UsageError
from quantize.evaluation.engine import LoadedModel, opened
from quantize.evaluation.statistics import Sums, products, squares
from quantize.execution.memory import cores
from quantize.formats.imatrix_write import encode_imatrix
from quantize.formats.metric import Metric, rounded, write_metric
from quantize.options import Options
from quantize.options.hub import HubOptions
from quantize.options.model import ModelOptions
from quantize.options.run import RunOptions
from quantize.planning.plan import PlannedTensor
from quantize.planning.refinement import DAMPING, OUTPUT, Refinement, refinement_of
from quantize.progress import Progress
from quantize.refining.attach import Inputs
from quantize.storage.calibration_text import text_file, text_name
from quantize.storage.sink import make_folder, write_bytes
from quantize.storage.small_files import content
from quantize.tensors import block_of

CONTEXT = 512
IMATRIX = "imatrix.gguf"
# Bytes of sums that are in memory together, unless a bound says otherwise; one block at the least.
_SUMS = 2 << 30


@dataclass(frozen=True, slots=True)
class Text:
    """A text in chunks of `context` tokens; `chunks` bounds how many are used."""

    content: bytes
    name: str
    context: int = CONTEXT
    chunks: int | None = None

    def ids(self, model: LoadedModel) -> list[NDArray[np.int32]]:
        """The chunks, each with BOS in place of its first token where the model wants one.

        Raises UsageError where the text fills not even one.
        """
        ids = model.tokenize(self.content).copy()
        count = len(ids) // self.context
        if count == 0:
            raise UsageError(
                "text-too-short",
                f"the text has {len(ids)} tokens, and a chunk of {self.context} is the least",
                where=self.name,
                hint=f"a longer text, or a --context of at most {len(ids)}",
            )
        chunks = ids[: count * self.context].reshape(count, -1)[: self.chunks]
        if model.bos is not None:
            chunks[:, 0] = model.bos
        return list(chunks)


def read_text(
    files: Sequence[str | Path], context: int = CONTEXT, chunks: int | None = None
) -> Text:
    """One text of several files, of which `default` comes along. Raises DiskError."""
    parts = [content(text_file(file)) for file in files]
    name = ", ".join(text_name(file) for file in files)
    return Text(b"\n".join(parts), name, context, chunks)


def read_through(
    model: Path,
    text: Text,
    wanted: Callable[[str], bool],
    sums: Sums,
    progress: Progress,
    *,
    jobs: int | None = None,
    stage: str = "calibrate",
) -> int:
    """Compute all chunks, adding up the inputs of wanted products. Returns how many."""
    with opened(model, text.context, jobs or cores(), wanted, sums.take) as loaded:
        chunks = text.ids(loaded)
        progress.start(stage, len(text.content))
        share = len(text.content) // len(chunks)
        for number, ids in enumerate(chunks, 1):
            loaded.watched(ids)
            sums.add_up()
            progress.advance(share, f"chunk {number} of {len(chunks)}, {text.context} tokens each")
        progress.finish()
    return len(chunks)


@contextmanager
def calibrated(
    source: str, options: Options, convert: Callable[..., object], progress: Progress
) -> Iterator[tuple[Options, Inputs | None]]:
    """The options with the importance matrix of --calibrate, and what --refine full needs."""
    refinement = refinement_of(options)
    if options.calibrate is None:
        yield options, None
        return
    if options.imatrix is not None:
        raise UsageError(
            "imatrix-and-text",
            "--calibrate makes the importance matrix",
            where="--imatrix",
            hint="leave out one of them",
        )
    text = read_text([options.calibrate])
    make_folder(options.folder)
    with as_gguf(source, options, options.folder, convert, progress) as model:
        imatrix = options.folder / IMATRIX
        write_imatrix(model, text, imatrix, progress, jobs=options.jobs)
        changed = dataclasses.replace(options, imatrix=imatrix, imatrix_name=IMATRIX)
        if refinement is None or not refinement.is_full:
            yield changed, None
            return
        settings = options.part(RunOptions)
        yield changed, partial(input_metrics, model, text, refinement, settings, progress)


def write_imatrix(
    model: Path, text: Text, output: Path, progress: Progress, *, jobs: int | None = None
) -> Sums:
    """Write the importance matrix of the blocks' products, as llama-imatrix does."""
    sums = squares()
    count = read_through(
        model, text, lambda name: block_of(name) is not None, sums, progress, jobs=jobs
    )
    write_bytes(output, encode_imatrix(sums.sums, sums.counts, [text.name], count, text.context))
    return sums


@contextmanager
def as_gguf(
    source: str, options: Options, folder: Path, convert: Callable[..., object], progress: Progress
) -> Iterator[Path]:
    """A GGUF file of the source: itself, or one in F16 that is there meanwhile, in `folder`."""
    if Path(source).is_file():
        yield Path(source)
        return
    fields = {
        field.name: getattr(options, field.name)
        for group in (HubOptions, ModelOptions, RunOptions)
        for field in dataclasses.fields(group)
    }
    with TemporaryDirectory(prefix=".calibrate-", dir=folder) as made:
        convert(source, Options(**{**fields, "types": ("F16",), "output": Path(made)}), progress)
        (file,) = Path(made).glob("*.gguf")
        yield file


def input_metrics(
    model: Path,
    text: Text,
    refinement: Refinement,
    settings: RunOptions,
    progress: Progress,
    tensors: Sequence[PlannedTensor],
    folder: Path,
) -> Mapping[str, Metric]:
    """What errors cost in each of `tensors` that the text goes through, in files in `folder`.

    The sums of a few blocks are in memory at a time, for each of which the text is read again.
    """
    metrics: dict[str, Metric] = {}
    for group in _groups(tensors, settings.memory_bound or _SUMS):
        sums = products()
        read_through(
            model, text, group.__contains__, sums, progress, jobs=settings.jobs, stage="inputs"
        )
        written: dict[str, Metric] = {}
        for name in group:
            key = sums.of.get(name)
            if key is None:
                continue
            if key not in written:
                matrices = shrunk(sums, key)
                file = folder / f"{len(metrics)}.f32"
                written[key] = write_metric(file, matrices, DAMPING, refinement.sweeps)
            metrics[name] = written[key]
    return metrics


def shrunk(sums: Sums, key: str) -> list[F32Array]:
    """H of each matrix of a stack, drawn towards that of all of them where it saw few tokens.

    As if each had seen as many tokens as there are columns from the inputs of all.
    """
    found, counts = sums.sums[key], sums.counts[key]
    if len(found) == 1:
        return [rounded(found[0] / max(int(counts[0]), 1))]
    cols = found.shape[-1]
    mean = found.sum(axis=0) / max(int(counts.sum()), 1)
    return [
        rounded((one + cols * mean) / (count + cols))
        for one, count in zip(found, counts, strict=True)
    ]


def _matrices(tensor: PlannedTensor) -> int:
    return tensor.full_shape[0] if len(tensor.full_shape) > 2 else 1


def _groups(tensors: Sequence[PlannedTensor], limit: int) -> Iterator[set[str]]:
    """Names of tensors of the blocks whose sums fit together, one block at the least."""
    group: set[str] = set()
    held = 0
    blocks: dict[int, list[PlannedTensor]] = {}
    for tensor in tensors:
        block = block_of(tensor.name)
        if block is not None or tensor.name == OUTPUT:
            blocks.setdefault(-1 if block is None else block, []).append(tensor)
    for members in blocks.values():
        needed = sum(8 * one.cols**2 * _matrices(one) for one in members)
        if group and held + needed > limit:
            yield group
            group, held = set(), 0
        group |= {one.name for one in members}
        held += needed
    if group:
        yield group
