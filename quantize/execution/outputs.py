"""The output files of a run: created or reopened, and which rows they already hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

from quantize import __version__
from quantize.checkpoints.source import RowSource
from quantize.execution.error_sums import TensorQuality
from quantize.execution.inline_errors import measured_ranges
from quantize.execution.journal import Journal
from quantize.execution.ranges import Done
from quantize.execution.worker import Qualities
from quantize.formats.gguf_split import part_names
from quantize.planning.plan import Plan, Task
from quantize.progress import Progress
from quantize.storage.sink import check_folder, disk_error
from quantize.storage.sink_files import PartialFiles


class RunFiles:
    """The partial files and the journal of each plan, all of them open. Raises DiskError.

    `done` are the rows that are in every file already; with `measures`, rows that were not measured
    do not count. `qualities` are for each file those of its tensors as far as they are done.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        paths: Sequence[Path],
        facts: Sequence[Mapping[str, str]],
        progress: Progress,
        *,
        fresh: bool,
        measures: bool,
    ) -> None:
        self.files: list[PartialFiles] = []
        self.journals: list[Journal] = []
        rows = [tensor.rows for tensor in plans[0].tensors]
        found: list[Done | None] = []
        try:
            finals = [files_at(plan, path) for plan, path in zip(plans, paths, strict=True)]
            self.journals += [Journal(*_first(files)) for files in finals]
            for plan, journal, own in zip(plans, self.journals, facts, strict=True):
                found.append(_earlier(plan, journal, own, rows, progress, fresh=fresh))
            _check_room(plans, paths, [done is not None for done in found])
            for plan, files, journal, own, done in zip(
                plans, finals, self.journals, facts, found, strict=True
            ):
                output = PartialFiles(files, resume=done is not None)
                self.files.append(output)
                for file in plan.files:
                    output.write(file.start, file.header)
                if done is None:
                    journal.begin(own)
        except BaseException:
            # What was only just made is of no use to a later run.
            for journal, done in zip(self.journals, found, strict=False):
                journal.close(keep=done is not None)
            for output, done in zip(self.files, found, strict=False):
                output.abandon(keep=done is not None)
            self.abandon(keep=True)
            raise
        self.done = reduce(Done.common, [done or Done(rows) for done in found])
        self.qualities: list[list[TensorQuality]] = []
        if measures:
            # A journal that was not continued has listed nothing.
            listed = [journal.measured for journal in self.journals]
            self.done, tasks = measured_ranges(listed, rows)
            self.qualities = [[TensorQuality()] * len(rows) for _ in plans]
            for task in tasks:
                self.measured(task, [measured[task] for measured in listed])

    def measured(self, task: Task, qualities: Qualities) -> None:
        """Count the measured rows of a task in."""
        for known, quality in zip(self.qualities, qualities, strict=True):
            known[task.index] += quality

    def commit(self) -> None:
        """Give the complete files their names."""
        for file, journal in zip(self.files, self.journals, strict=True):
            file.commit()
            journal.close(keep=False)

    def abandon(self, *, keep: bool) -> None:
        """Stop writing; what is there stays for a later run, or goes."""
        for journal in self.journals:
            journal.close(keep=keep)
        for file in self.files:
            file.abandon(keep=keep)


def files_at(plan: Plan, path: Path) -> list[tuple[Path, int]]:
    """The files of a plan and their sizes: `path` alone, or numbered ones next to it."""
    count = len(plan.files)
    names = (path.name,) if count == 1 else part_names(path.stem, count)
    return [(path.with_name(name), file.size) for name, file in zip(names, plan.files, strict=True)]


def _first(files: Sequence[tuple[Path, int]]) -> tuple[Path, list[Path]]:
    (first, _), *others = files
    return first, [path for path, _ in others]


def facts_of(plan: Plan, source: RowSource, identity: str) -> dict[str, str]:
    """What the bytes of an output depend on, as the journal names it.

    `identity` changes whenever the bytes of the source may have changed.
    """
    sha = hashlib.sha256(identity.encode())
    for name in sorted({name for tensor in plan.tensors for name in tensor.sources}):
        sha.update(repr(source.weights[name]).encode())
    return {"version": __version__, "plan": plan.digest, "source": sha.hexdigest()}


def _earlier(
    plan: Plan,
    journal: Journal,
    facts: Mapping[str, str],
    rows: Sequence[int],
    progress: Progress,
    *,
    fresh: bool,
) -> Done | None:
    """What an earlier run left, or None after removing what cannot be used."""
    sizes = [file.size for file in plan.files]
    if not fresh and [_size(partial) for partial in journal.partials] == sizes:
        done, reason = journal.resume(facts, rows)
        if done is not None:
            return done
        if reason is not None:
            progress.note(f"{journal.final.name} is started again: {reason}")
    # In this order: a journal must never speak of a file that is not there. The file is removed,
    # not cut: a worker that outlived its killed run may still write to it.
    journal.clear()
    for partial in journal.partials:
        try:
            partial.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(partial, error) from error
    return None


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _check_room(plans: Sequence[Plan], paths: Sequence[Path], begun: Sequence[bool]) -> None:
    """Raise DiskError unless all files that are begun now fit into their folders together."""
    needed: dict[Path, int] = {}
    for plan, path, kept in zip(plans, paths, begun, strict=True):
        needed[path.parent] = needed.get(path.parent, 0) + (0 if kept else plan.size)
    for folder, nbytes in needed.items():
        check_folder(folder, nbytes)
