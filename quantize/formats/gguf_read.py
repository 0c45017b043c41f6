"""GGUF headers, versions 2 and 3 (their layouts are the same), read from files nobody vouches for.

Every count is compared with the bytes that the file still has before anything of that size is
made, so a header of a few bytes cannot ask for gigabytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from quantize.errors import CheckpointError, UnsupportedError
from quantize.formats.gguf import MAGIC, MAX_DIMS, alignment_of, pad
from quantize.formats.kv import ARRAY_ID, KV, SCALAR_IDS, STRUCT_CODES, KeyValues
from quantize.tensors import GGML_TYPES_BY_ID, Shape, StoredTensor, tensor_nbytes

Read = Callable[[int, int], bytes]

# Far above every real header (a vocabulary of 262 144 with merges and scores takes 15 MB).
MAX_HEADER_NBYTES = 1 << 30
_FIRST_READ = 1 << 20
_NAMES = {number: name for name, number in SCALAR_IDS.items()}
_MIN_KV_NBYTES = 8 + 4 + 1
_MIN_TENSOR_NBYTES = 8 + 4 + 4 + 8
_MAX_COUNT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """Key-values and tensors in file order.

    Tensors have absolute offsets, shapes in NumPy's order, and a name of GGML_TYPES as dtype.
    A string that is not UTF-8 is given as bytes.
    """

    kvs: KeyValues
    tensors: dict[str, StoredTensor]
    alignment: int
    data_start: int


def read_header(read: Read, size: int, where: str) -> GGUFHeader:
    """The header of a GGUF file of `size` bytes; `read(offset, nbytes)` gives bytes of it.

    Raises CheckpointError for a file that is cut short or contradicts itself, UnsupportedError for
    another version, byte order or ggml type.
    """
    cursor = _Cursor(read, size, where)
    n_tensors, n_kvs = _read_preamble(cursor)
    cursor.check_count(n_kvs, _MIN_KV_NBYTES, "key-values")
    kvs: dict[str, KV] = {}
    for _ in range(n_kvs):
        kv = _read_kv(cursor)
        if kv.key in kvs:
            cursor.fail(f"the key {kv.key!r} is there twice")
        kvs[kv.key] = kv
    try:
        alignment = alignment_of(kvs.values())
    except ValueError as error:
        cursor.fail(str(error))
    cursor.check_count(n_tensors, _MIN_TENSOR_NBYTES, "tensors")
    infos: dict[str, _Info] = {}
    for _ in range(n_tensors):
        info = _read_info(cursor)
        if info.name in infos:
            cursor.fail(f"the tensor {info.name!r} is there twice")
        infos[info.name] = info
    data_start = pad(cursor.position, alignment)
    tensors = {
        name: StoredTensor(name, info.type, info.shape, where, data_start + info.offset, nbytes)
        for name, info in infos.items()
        for nbytes in (tensor_nbytes(info.type, info.shape),)
    }
    _check_data(tensors, data_start, alignment, cursor)
    return GGUFHeader(KeyValues(kvs.values()), tensors, alignment, data_start)


@dataclass(frozen=True, slots=True)
class _Info:
    name: str
    shape: Shape
    type: str
    offset: int


class _Cursor:
    """Reads a header front to back, in growing pieces, and never past the file's end."""

    def __init__(self, read: Read, size: int, where: str) -> None:
        self._read = read
        self._size = size
        self.where = where
        self._data = b""
        self.position = 0

    def fail(self, message: str) -> NoReturn:
        raise CheckpointError(
            "bad-gguf", message, where=self.where, hint="download or convert the file again"
        )

    def check_count(self, count: int, nbytes_each: int, what: str) -> None:
        """Refuse a count that the rest of the file has no room for."""
        self.check_length(self.position + count * nbytes_each, f"{count} {what}")

    def check_length(self, end: int, what: str) -> None:
        if end > self._size:
            raise CheckpointError(
                "truncated-file",
                f"at least {end - self._size} of {end} bytes are missing",
                where=self.where,
                reason=f"{what} cannot end before byte {end}, the file ends at {self._size}",
                hint="download or convert the file again",
            )

    def take(self, nbytes: int) -> bytes:
        end = self.position + nbytes
        if end > len(self._data):
            self._fill(end)
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def unpack(self, layout: str) -> tuple[Any, ...]:
        layout = "<" + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def string(self) -> str | bytes:
        (nbytes,) = self.unpack("Q")
        raw = self.take(nbytes)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw

    def name(self, what: str) -> str:
        name = self.string()
        if isinstance(name, bytes):
            self.fail(f"the name of a {what} is not UTF-8: {name[:64]!r}")
        return name

    def _fill(self, end: int) -> None:
        self.check_length(end, "its header")
        if end > MAX_HEADER_NBYTES:
            self.fail(f"the header is longer than {MAX_HEADER_NBYTES} bytes")
        have = len(self._data)
        want = min(max(end, 2 * have, _FIRST_READ), self._size, MAX_HEADER_NBYTES)
        self._data += self._read(have, want - have)


def _read_preamble(cursor: _Cursor) -> tuple[int, int]:
    if cursor.take(4) != MAGIC:
        cursor.fail("no GGUF file: it does not begin with the letters GGUF")
    (version,) = cursor.unpack("I")
    if version not in {2, 3}:
        big_endian = version.to_bytes(4, "little") in {b"\0\0\0\2", b"\0\0\0\3"}
        raise UnsupportedError(
            "gguf-version",
            "a big-endian GGUF file" if big_endian else f"GGUF version {version}",
            where=cursor.where,
            reason="versions 2 and 3 in little endian can be read",
            hint="convert the checkpoint again with a current converter",
        )
    n_tensors, n_kvs = cursor.unpack("QQ")
    return n_tensors, n_kvs


def _read_kv(cursor: _Cursor) -> KV:
    key = cursor.name("key")
    (number,) = cursor.unpack("I")
    if number != ARRAY_ID:
        scalar = _scalar_name(cursor, key, number)
        return KV(key, scalar, _read_values(cursor, key, scalar, 1)[0])
    number, count = cursor.unpack("IQ")
    if number == ARRAY_ID:
        cursor.fail(f"{key} is an array of arrays, which llama.cpp does not read either")
    element = _scalar_name(cursor, key, number)
    return KV(key, f"ARRAY[{element}]", _read_values(cursor, key, element, count))


def _scalar_name(cursor: _Cursor, key: str, number: int) -> str:
    if number not in _NAMES:
        cursor.fail(f"{key} has the unknown value type {number}")
    return _NAMES[number]


def _read_values(cursor: _Cursor, key: str, scalar: str, count: int) -> tuple[Any, ...]:
    if scalar == "STRING":
        cursor.check_count(count, 8, f"strings of {key}")
        return tuple([cursor.string() for _ in range(count)])
    code = STRUCT_CODES[scalar]
    cursor.check_count(count, struct.calcsize("<" + code), f"values of {key}")
    raw = cursor.take(count * struct.calcsize("<" + code))
    if scalar == "BOOL" and raw.strip(b"\0\1"):
        cursor.fail(f"{key} holds a BOOL that is neither 0 nor 1")
    return struct.unpack(f"<{count}{code}", raw)


def _read_info(cursor: _Cursor) -> _Info:
    name = cursor.name("tensor")
    (n_dims,) = cursor.unpack("I")
    if n_dims > MAX_DIMS:
        cursor.fail(f"{name} has {n_dims} dimensions, GGUF has at most {MAX_DIMS}")
    dims = cursor.unpack(f"{n_dims}Q")
    if math.prod(max(n, 1) for n in dims) > _MAX_COUNT:
        cursor.fail(f"{name} has impossible dimensions {dims}")
    number, offset = cursor.unpack("IQ")
    if number not in GGML_TYPES_BY_ID:
        raise UnsupportedError(
            "unknown-type", f"the ggml type {number} is not known", where=f"{cursor.where}:{name}"
        )
    kind = GGML_TYPES_BY_ID[number]
    if not kind.fits(dims[0] if dims else 1):
        cursor.fail(f"{name} has dimensions {dims}, no whole number of {kind.name} blocks")
    return _Info(name, dims[::-1], kind.name, offset)


def _check_data(
    tensors: dict[str, StoredTensor], data_start: int, alignment: int, cursor: _Cursor
) -> None:
    end = data_start
    for tensor in sorted(tensors.values(), key=lambda t: (t.offset, t.nbytes)):
        if (tensor.offset - data_start) % alignment:
            cursor.fail(f"{tensor.name} does not begin at a multiple of {alignment} bytes")
        if tensor.offset < end:
            cursor.fail(f"{tensor.name} overlaps the tensor before it")
        end = tensor.offset + tensor.nbytes
    cursor.check_length(end, "its tensors")
