"""How weights come here: whole files into the Hub's cache, as a stream, or from a folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Self

from quantize.errors import UsageError
from quantize.planning.plan import Plan
from quantize.progress import Progress
from quantize.sources.opening import Opened
from quantize.storage.background import Background
from quantize.storage.local import sha256_of
from quantize.units import format_bytes

# What a stream keeps of the bytes that it has read ahead: enough for the connections to be busy.
_AHEAD = 64 << 20
_SHARE = 4  # of a bound on memory, the stream takes at most one part in so many


def weight_files(opened: Opened, plan: Plan) -> list[str]:
    """The files of the base that hold weights of the plan, sorted."""
    weights = opened.source.weights
    used = {
        part.file
        for tensor in plan.tensors
        for name in tensor.sources
        for part in weights[name].parts
    }
    return sorted(used.intersection(opened.source.files.files()))


def to_download(opened: Opened, plan: Plan) -> dict[str, int]:
    """Name -> size of the files that a conversion would download. Those in the cache are not."""
    if opened.remote is None:
        return {}
    sizes = opened.remote.files()
    return {name: sizes[name] for name in opened.remote.missing(weight_files(opened, plan))}


def stream(opened: Opened, max_memory: int | None) -> int:
    """Let the weights be read ahead over HTTP. Returns how much memory that takes."""
    if opened.remote is None:
        raise UsageError(
            "nothing-to-stream",
            "--stream is for repositories of the Hub",
            where=opened.location,
            reason="the weights are on a disk already",
            hint="leave out --stream",
        )
    memory = _AHEAD if max_memory is None else min(_AHEAD, max_memory // _SHARE)
    parts = (part for weight in opened.source.weights.values() for part in weight.parts)
    names = {part.file for part in parts}.intersection(opened.remote.files())
    opened.remote.stream(sorted(names), memory)
    return memory


def download(opened: Opened, plan: Plan, progress: Progress) -> None:
    """Begin to fetch whole files; whoever reads one waits for it."""
    if opened.remote is None:
        return
    missing = to_download(opened, plan)
    if missing:
        progress.note(
            f"downloads {download_text(missing)}; each is converted as soon as it is here"
        )

    opened.remote.download(weight_files(opened, plan), _Arrivals(missing, progress))


def unchecked(opened: Opened, plan: Plan) -> list[str]:
    """Weight files whose digest nobody held against their bytes: it is what the Hub says.

    Of a stream, these are files that it did not read all of, or not nearly in order: what an
    interrupted run has read is not read again. Raises what is wrong with a file that was fetched.
    """
    return [] if opened.remote is None else opened.remote.unchecked(weight_files(opened, plan))


def note_unchecked(opened: Opened, plan: Plan, progress: Progress) -> None:
    """Note the files whose digest was not checked. Raises what is wrong with a fetched file."""
    names = unchecked(opened, plan)
    if names:
        progress.note(
            f"read in part, so the manifest says that the digest is unchecked: {', '.join(names)} "
            f"(`quantize verify FILE --source {opened.location}` reads all)"
        )


class _Arrivals:
    """Shows how files of the sizes `missing` come; those in the cache are not worth a word."""

    def __init__(self, missing: Mapping[str, int], progress: Progress) -> None:
        self._sizes = missing
        self._here = dict.fromkeys(missing, 0)
        self._waiting = set(missing)
        self._lock = threading.Lock()
        self._progress = progress
        if missing:
            self._stage = progress.alongside("download", sum(missing.values()))

    def coming(self, name: str, nbytes: int) -> None:
        if name in self._here:
            with self._lock:
                new, self._here[name] = nbytes - self._here[name], nbytes
            self._stage.advance(new, name)

    def arrived(self, name: str) -> None:
        if name not in self._waiting:
            return
        self.coming(name, self._sizes[name])
        self._progress.note(f"{name} is here ({format_bytes(self._sizes[name])})")
        with self._lock:
            self._waiting.remove(name)
            last = not self._waiting
        if last:
            self._stage.finish()


def download_text(files: dict[str, int] | Sequence[tuple[str, int]]) -> str:
    """Such as "4.9 GB in 3 files"."""
    sizes = dict(files).values()
    return f"{format_bytes(sum(sizes))} in {len(sizes)} file{'' if len(sizes) == 1 else 's'}"


class LocalDigests:
    """SHA-256 of a folder's weight files, computed while the conversion reads them.

    At the end of the `with` it stops, whatever is left.
    """

    def __init__(self, opened: Opened) -> None:
        self._wanted = True
        self._background = Background(1, "source-digests")
        self._found = dict(self._begin(opened))
        self._background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted = False

    def wait(self) -> Mapping[str, str]:
        """The digests by name, when all are known. Raises DiskError."""
        return {name: future.result() for name, future in self._found.items()}

    def _begin(self, opened: Opened) -> Iterator[tuple[str, Future[str]]]:
        files = opened.source.files
        weights = opened.source.weights.values()
        names = {part.file for weight in weights for part in weight.parts}
        for name in sorted(names.intersection(files.files())):
            path = files.local_path(name)
            if path is not None:
                digest = partial(sha256_of, path, lambda: self._wanted)
                yield name, self._background.submit(digest)
