"""Importance matrices from files that nobody vouches for: GGUF here, .dat in imatrix_dat.py.

Every count is compared with the bytes that are there before anything of that size is made. Source:
common/imatrix-loader.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from quantize.errors import UsageError
from quantize.formats.gguf import MAGIC
from quantize.formats.gguf_read import read_header
from quantize.formats.imatrix import MAKE_ONE, Imatrix, ImatrixEntry, checked, refuse
from quantize.formats.imatrix_dat import read_dat
from quantize.formats.kv import KV
from quantize.storage.local import read_into, sha256_of
from quantize.tensors import StoredTensor, count

_SUMS, _COUNTS = ".in_sum2", ".counts"
_DATASETS, _CHUNKS, _CHUNK_SIZE = (
    "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size",
)  # fmt: skip


def read_imatrix(file: Path) -> Imatrix:
    """The importance matrix in `file`, every value of it checked.

    Raises UsageError for a file that is not there or is none, CheckpointError for one that is cut
    short, contradicts itself, or holds values that no sum of squares has; DiskError.
    """
    if not file.is_file():
        raise UsageError("no-such-imatrix", "no such file", where=str(file), hint=MAKE_ONE)
    size = file.stat().st_size
    is_gguf = size >= len(MAGIC) and _read(file, 0, len(MAGIC)) == MAGIC
    return _read_gguf(file, size) if is_gguf else read_dat(file, size)


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
            hint=MAKE_ONE,
        )
    for name in tensors:
        if name.endswith(_COUNTS) and name.removesuffix(_COUNTS) + _SUMS not in tensors:
            refuse(file, f"there are counts of {name.removesuffix(_COUNTS)}, but no sums")
    return Imatrix(
        file,
        sha256_of(file),
        "GGUF",
        {name: checked(name, _gguf_entry(file, name, tensors)) for name in names},
        _number(file, kvs[_CHUNKS]),
        _number(file, kvs[_CHUNK_SIZE]),
        _texts(file, kvs[_DATASETS]),
    )


def _first_missing(kvs: Mapping[str, KV]) -> str:
    return next(key for key in (_DATASETS, _CHUNKS, _CHUNK_SIZE) if key not in kvs)


def _gguf_entry(file: Path, name: str, tensors: Mapping[str, StoredTensor]) -> ImatrixEntry:
    sums, counts = tensors[name + _SUMS], tensors.get(name + _COUNTS)
    if counts is None:
        refuse(file, f"there are sums of {name}, but no counts")
    if {sums.dtype, counts.dtype} != {"F32"}:
        refuse(file, f"sums and counts of {name} are {sums.dtype} and {counts.dtype}, not F32")
    size, groups = count(sums.shape), count(counts.shape)
    if size < 1 or groups < 1 or size % groups:
        refuse(file, f"{name} has {size} sums for {groups} counts")
    read = np.frombuffer(_read(file, counts.offset, counts.nbytes), "<f4").astype(np.float64)
    if not np.isfinite(read).all() or read.min() < 0:
        refuse(file, f"{name} has a count that is none", f"it is {read[~(read >= 0)][:1]}")
    # C's lround: halves away from zero.
    rounded = np.floor(read + 0.5)
    return ImatrixEntry(file, sums.offset, size, tuple(int(one) for one in rounded))


def _number(file: Path, kv: KV) -> int:
    if kv.type != "UINT32" or kv.value >= 2**31:
        refuse(file, f"{kv.key} is not a count: {kv.type} {kv.value!r:.40}")
    return int(kv.value)


def _texts(file: Path, kv: KV) -> tuple[str, ...]:
    if kv.type != "ARRAY[STRING]":
        refuse(file, f"{kv.key} is {kv.type}, not an array of strings")
    return tuple(
        text if isinstance(text, str) else text.decode("utf-8", "replace") for text in kv.value
    )
