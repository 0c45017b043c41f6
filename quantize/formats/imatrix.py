"""Importance matrices: how much each column of a model's tensors matters.

A file of llama-imatrix holds for each matrix product the sums of the squared inputs of every
column, and over how many tokens (GGUF) or chunks (.dat) they were summed. Values stay in the file
until they are needed, so that an entry is small and can go to any worker. Source:
tools/quantize/quantize.cpp of llama.cpp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import numpy as np

from quantize.arrays import F32Array
from quantize.errors import CheckpointError
from quantize.storage.local import read_into

# Means of squared activations are far below. With larger ones, sums of float32 may overflow.
LARGEST = 1e15
MAKE_ONE = "`quantize imatrix make MODEL --text FILE` makes one"


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
    def fixed_nbytes(self) -> int:
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


def checked(name: str, entry: ImatrixEntry) -> ImatrixEntry:
    """The entry with its digest. Raises CheckpointError for NaN, infinities and below zero."""
    values = entry.read()
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        refuse(
            entry.file,
            f"{name} has {values[wrong[0]]} at column {wrong[0]}",
            f"{wrong.size} of {entry.size} values are not means of squares",
        )
    return replace(
        entry,
        digest=_digest(values),
        largest=float(values.max()),
        zeros=int(np.count_nonzero(values == 0)),
    )


def _digest(values: F32Array) -> str:
    return hashlib.sha256(values.astype("<f4", copy=False).tobytes()).hexdigest()


def refuse(file: Path, message: str, reason: str | None = None) -> NoReturn:
    """Raise CheckpointError for a file that contradicts itself."""
    raise CheckpointError(
        "bad-imatrix",
        message,
        where=str(file),
        reason=reason,
        hint="make it again with llama-imatrix, or download it again",
    )
