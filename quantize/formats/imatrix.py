"""Importance matrices as llama-imatrix writes them: GGUF files, and the older .dat files.

For each matrix product of a model they hold the sums of the squared inputs of every column, and
over how many tokens (GGUF) or chunks (.dat) they were summed. Sources: common/imatrix-loader.cpp
and tools/quantize/quantize.cpp of llama.cpp. Nobody vouches for a file: every count is compared
with the bytes that are there before anything of that size is made.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from quantize.errors import CheckpointError, UsageError
from quantize.formats.gguf import MAGIC
from quantize.formats.gguf_read import read_header
from quantize.formats.kv import KV
from quantize.storage.local import read_into, sha256_of
from quantize.tensors import StoredTensor, count

F32Array = NDArray[np.float32]

# Means of squared activations are far below. With larger ones, sums of float32 may overflow.
LARGEST = 1e15
_SUMS, _COUNTS = ".in_sum2", ".counts"
_DATASETS, _CHUNKS, _CHUNK_SIZE = (
    "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size",
)  # fmt: skip
# An entry of a .dat file: lengths of 4 bytes, a name of one letter, one value.
_SMALLEST_ENTRY = 4 + 1 + 4 + 4 + 4
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class ImatrixEntry:
    """How much each column of one tensor matters: `size` sums, float32, at `offset` of `file`.

    The sums are in `len(counts)` equal groups, one for each expert; each group is divided by its
    count. A group that was never seen has the count 0, and its columns all matter alike.
    `digest` is the SHA-256 of the values, `largest` one of them, `zeros` how many are 0.
    """

    file: Path
    offset: int
    size: int
    counts: tuple[int, ...]
    digest: str = ""
    largest: float = 1.0
    zeros: int = 0

    @property
    def held(self) -> int:
        """Bytes that its values take while they are made."""
        return 2 * 4 * self.size

    @property
    def unseen(self) -> int:
        """How many groups have no count."""
        return self.counts.count(0)

    def values(self) -> F32Array:
        """The means of the squared inputs, float32 `(size,)`, not to be written to.

        Raises CheckpointError if the file is another one by now.
        """
        return _values(self)

    def read(self) -> F32Array:
        """The same from the file, whatever it holds now."""
        data = bytearray(4 * self.size)
        read_into(self.file, self.file.name, self.offset, memoryview(data))
        sums = np.frombuffer(data, "<f4").reshape(len(self.counts), -1)
        counts = np.array(self.counts, np.float32)[:, None]
        # float32 by float32, as llama-quantize divides: its bytes depend on the rounding.
        means: F32Array = np.divide(sums, counts, out=np.ones_like(sums), where=counts > 0)
        return means.reshape(-1)


@lru_cache(maxsize=2)
def _values(entry: ImatrixEntry) -> F32Array:
    # They are kept for a while: the tasks of one tensor follow one another.
    values = entry.read()
    if _digest(values) != entry.digest:
        raise CheckpointError(
            "imatrix-changed",
            "the importance matrix is not what it was a moment ago",
            where=str(entry.file),
            hint="start again when nothing writes to it any more",
        )
    values.flags.writeable = False
    return values


@dataclass(frozen=True, slots=True)
class Imatrix:
    """An importance matrix. `entries` has the names of GGUF tensors.

    `format` is "GGUF" or "dat". `chunks` is 0 where the file does not tell, `chunk_size`, in
    tokens, for each .dat file. `datasets` are names of calibration texts.
    """

    file: Path
    sha256: str
    format: str
    entries: Mapping[str, ImatrixEntry]
    chunks: int
    chunk_size: int
    datasets: tuple[str, ...]


def read_imatrix(file: Path) -> Imatrix:
    """The importance matrix in `file`, every value of it checked.

    Raises UsageError for a file that is not there or is none, CheckpointError for one that is cut
    short, contradicts itself, or holds values that no sum of squares has; DiskError.
    """
    if not file.is_file():
        raise UsageError("no-such-imatrix", "no such file", where=str(file), hint=_MAKE)
    size = file.stat().st_size
    is_gguf = size >= len(MAGIC) and _read(file, 0, len(MAGIC)) == MAGIC
    return _read_gguf(file, size) if is_gguf else _read_dat(file, size)


_MAKE = "llama-imatrix of llama.cpp writes one: llama-imatrix -m MODEL.gguf -f TEXT"


def _read(file: Path, offset: int, nbytes: int) -> bytes:
    data = bytearray(nbytes)
    read_into(file, file.name, offset, memoryview(data))
    return bytes(data)


def _read_gguf(file: Path, size: int) -> Imatrix:
    header = read_header(partial(_read, file), size, file.name)
    kvs = {kv.key: kv for kv in header.kvs}
    tensors = header.tensors
    names = [name.removesuffix(_SUMS) for name in tensors if name.endswith(_SUMS)]
    if not names or not {_DATASETS, _CHUNKS, _CHUNK_SIZE} <= kvs.keys():
        raise UsageError(
            "no-imatrix",
            "a GGUF file, but no importance matrix",
            where=str(file),
            reason=f"it lacks {_first_missing(kvs)}" if names else "it has no sums of inputs",
            hint=_MAKE,
        )
    for name in tensors:
        if name.endswith(_COUNTS) and name.removesuffix(_COUNTS) + _SUMS not in tensors:
            _fail(file, f"there are counts of {name.removesuffix(_COUNTS)}, but no sums")
    return Imatrix(
        file,
        sha256_of(file),
        "GGUF",
        {name: _checked(name, _gguf_entry(file, name, tensors)) for name in names},
        _number(file, kvs[_CHUNKS]),
        _number(file, kvs[_CHUNK_SIZE]),
        _texts(file, kvs[_DATASETS]),
    )


def _first_missing(kvs: Mapping[str, KV]) -> str:
    return next(key for key in (_DATASETS, _CHUNKS, _CHUNK_SIZE) if key not in kvs)


def _gguf_entry(file: Path, name: str, tensors: Mapping[str, StoredTensor]) -> ImatrixEntry:
    sums, counts = tensors[name + _SUMS], tensors.get(name + _COUNTS)
    if counts is None:
        _fail(file, f"there are sums of {name}, but no counts")
    if {sums.dtype, counts.dtype} != {"F32"}:
        _fail(file, f"sums and counts of {name} are {sums.dtype} and {counts.dtype}, not F32")
    size, groups = count(sums.shape), count(counts.shape)
    if size < 1 or groups < 1 or size % groups:
        _fail(file, f"{name} has {size} sums for {groups} counts")
    read = np.frombuffer(_read(file, counts.offset, counts.nbytes), "<f4").astype(np.float64)
    if not np.isfinite(read).all() or read.min() < 0:
        _fail(file, f"{name} has a count that is none", f"it is {read[~(read >= 0)][:1]}")
    # C's lround: halves away from zero.
    rounded = np.floor(read + 0.5)
    return ImatrixEntry(file, sums.offset, size, tuple(int(one) for one in rounded))


def _number(file: Path, kv: KV) -> int:
    if kv.type != "UINT32" or kv.value >= 2**31:
        _fail(file, f"{kv.key} is no count: {kv.type} {kv.value!r:.40}")
    return int(kv.value)


def _texts(file: Path, kv: KV) -> tuple[str, ...]:
    if kv.type != "ARRAY[STRING]":
        _fail(file, f"{kv.key} is {kv.type}, not an array of strings")
    return tuple(
        text if isinstance(text, str) else text.decode("utf-8", "replace") for text in kv.value
    )


def _read_dat(file: Path, size: int) -> Imatrix:
    cursor = _Cursor(file, size)
    (n,) = cursor.integers(1) if size >= 4 else (0,)
    if not 1 <= n <= size // _SMALLEST_ENTRY:
        raise UsageError(
            "no-imatrix",
            "no importance matrix",
            where=str(file),
            reason=f"it is no GGUF file, and as a .dat file it would have {n} entries",
            hint=_MAKE,
        )
    entries: dict[str, ImatrixEntry] = {}
    for name, entry in _dat_entries(cursor, n):
        if name in entries:
            _fail(file, f"{name} stands twice")
        entries[name] = _checked(name, entry)
    # What follows was added later, a number first and then a name: old files end here.
    chunks = cursor.integers(1)[0] if cursor.left >= 4 else 0
    named = cursor.integers(1)[0] if cursor.left >= 4 else 0
    datasets = (cursor.text(named, "dataset"),) if named > 0 else ()
    return Imatrix(file, sha256_of(file), "dat", entries, max(chunks, 0), 0, datasets)


def _dat_entries(cursor: _Cursor, n: int) -> Iterator[tuple[str, ImatrixEntry]]:
    for number in range(n):
        (length,) = cursor.integers(1)
        if not 1 <= length <= _LONGEST_NAME:
            _fail(cursor.file, f"entry {number} has a name of {length} bytes")
        name = cursor.text(length, f"name of entry {number}")
        calls, size = cursor.integers(2)
        if size < 1 or calls < 0:
            _fail(cursor.file, f"{name} has {size} values of {calls} calls")
        offset = cursor.position
        cursor.skip(4 * size, f"the values of {name}")
        # Without a number of calls, the values are means already.
        yield name, ImatrixEntry(cursor.file, offset, size, (calls or 1,))


class _Cursor:
    """Reads a .dat file front to back, and never past its end."""

    def __init__(self, file: Path, size: int) -> None:
        self.file = file
        self.position = 0
        self._size = size

    @property
    def left(self) -> int:
        return self._size - self.position

    def skip(self, nbytes: int, what: str) -> None:
        if nbytes > self.left:
            raise CheckpointError(
                "truncated-file",
                f"{nbytes - self.left} bytes are missing",
                where=str(self.file),
                reason=f"{what} begins at byte {self.position}, the file ends at {self._size}",
                hint="download the file again, or let llama-imatrix finish",
            )
        self.position += nbytes

    def integers(self, n: int) -> Sequence[int]:
        start = self.position
        self.skip(4 * n, "a number")
        return struct.unpack(f"<{n}i", _read(self.file, start, 4 * n))

    def text(self, nbytes: int, what: str) -> str:
        start = self.position
        self.skip(nbytes, f"the {what}")
        try:
            # llama.cpp's strings end at a zero.
            return _read(self.file, start, nbytes).partition(b"\0")[0].decode()
        except UnicodeDecodeError as error:
            _fail(self.file, f"the {what} is no UTF-8", str(error))


def _checked(name: str, entry: ImatrixEntry) -> ImatrixEntry:
    """The entry with its digest. Raises CheckpointError for NaN, infinities and below zero."""
    values = entry.read()
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        _fail(
            entry.file,
            f"{name} has {values[wrong[0]]} at column {wrong[0]}",
            f"{wrong.size} of {entry.size} values are no means of squares",
        )
    return replace(
        entry,
        digest=_digest(values),
        largest=float(values.max()),
        zeros=int(np.count_nonzero(values == 0)),
    )


def _digest(values: F32Array) -> str:
    return hashlib.sha256(values.astype("<f4", copy=False).tobytes()).hexdigest()


def _fail(file: Path, message: str, reason: str | None = None) -> NoReturn:
    raise CheckpointError(
        "bad-imatrix",
        message,
        where=str(file),
        reason=reason,
        hint="make it again with llama-imatrix, or download it again",
    )
