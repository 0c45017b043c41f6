"""Safetensors headers: which tensors a file holds, and where.

Layout (https://huggingface.co/docs/safetensors): a u64 with the length of the header, the header
as JSON, then the data. Each entry has dtype, shape and data_offsets (from the start of the data);
the entries must tile the data without holes or overlaps, in any order. Nothing is trusted before
it is checked against the size of the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from quantize.errors import CheckpointError, UnsupportedError
from quantize.formats.json_file import parse_json
from quantize.tensors import DTYPE_SIZES, StoredTensor

# The limit of the reference implementation (safetensors/src/tensor.rs).
MAX_HEADER_NBYTES = 100_000_000
_MAX_COUNT = 2**63 - 1
_LFS_POINTER = b"version "
_DOWNLOAD_AGAIN = "download the file again"


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors of one file in header order, and its `__metadata__`."""

    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]


def read_header(read: Callable[[int, int], bytes], size: int, where: str) -> Header:
    """The header of a safetensors file of `size` bytes.

    `read(offset, nbytes)` gives bytes of the file, `where` is the file's name in the source. Raises
    CheckpointError for a file that is cut short or contradicts itself, UnsupportedError for a
    dtype that we do not know.
    """
    entries, data_start = _read_json(read, size, where)
    metadata = _metadata(entries.pop("__metadata__", {}), where)
    tensors = {
        name: _stored_tensor(name, entry, where, data_start) for name, entry in entries.items()
    }
    _check_tiling(tensors, data_start, size, where)
    return Header(tensors, metadata)


def _read_json(
    read: Callable[[int, int], bytes], size: int, where: str
) -> tuple[dict[str, Any], int]:
    if size < 8:
        raise CheckpointError(
            "truncated-file",
            f"only {size} bytes long",
            where=where,
            reason="a safetensors file begins with 8 bytes that give the length of its header",
            hint=_DOWNLOAD_AGAIN,
        )
    prefix = read(0, 8)
    if prefix == _LFS_POINTER:
        raise CheckpointError(
            "lfs-pointer",
            "a Git LFS pointer instead of the weights",
            where=where,
            reason="the repository was cloned without its large files",
            hint="run `git lfs pull` in the folder of the checkpoint",
        )
    (nbytes,) = struct.unpack("<Q", prefix)
    if nbytes > MAX_HEADER_NBYTES:
        raise CheckpointError(
            "not-safetensors",
            f"not a safetensors file: its header would be {nbytes} bytes long",
            where=where,
            reason=f"headers have at most {MAX_HEADER_NBYTES} bytes",
            hint=_DOWNLOAD_AGAIN,
        )
    _check_length(8 + nbytes, size, where, "its header")
    return _parse_object(read(8, nbytes), where), 8 + nbytes


def _parse_object(data: bytes, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _contradiction(where, f"the key {key!r} is there twice in one JSON object")
            found[key] = value
        return found

    parsed = parse_json(data, where, object_of=unique)
    if not isinstance(parsed, dict):
        raise _contradiction(where, f"a JSON object is expected, not {type(parsed).__name__}")
    return parsed


def _metadata(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise _contradiction(where, "__metadata__ must map strings to strings")
    return value


def _stored_tensor(name: str, entry: object, file: str, data_start: int) -> StoredTensor:
    where = f"{file}:{name}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _contradiction(where, "an entry has exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_SIZES:
        raise UnsupportedError(
            "unknown-dtype",
            f"dtype {dtype!r} is not known",
            where=where,
            reason=f"known are {', '.join(DTYPE_SIZES)}",
        )
    if not _are_counts(shape) or not _is_countable(shape):
        raise _contradiction(where, f"{shape!r} is not a shape")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _contradiction(where, f"{offsets!r} is not a pair of offsets")
    begin, end = offsets
    nbytes = math.prod(shape) * DTYPE_SIZES[dtype]
    if end - begin != nbytes:
        raise _contradiction(
            where, f"{dtype} of shape {shape} takes {nbytes} bytes, the header gives {end - begin}"
        )
    return StoredTensor(name, dtype, tuple(shape), file, data_start + begin, nbytes)


def _are_counts(values: object) -> TypeGuard[list[int]]:
    # type() and not isinstance(): JSON's true is an int for Python.
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= _MAX_COUNT for v in values)


def _is_countable(shape: list[int]) -> bool:
    """NumPy's own limits, where a zero does not excuse the other dimensions."""
    return len(shape) <= 32 and math.prod(max(n, 1) for n in shape) <= _MAX_COUNT


def _check_tiling(
    tensors: Mapping[str, StoredTensor], data_start: int, size: int, where: str
) -> None:
    end = data_start
    for tensor in sorted(tensors.values(), key=lambda t: (t.offset, t.nbytes)):
        if tensor.offset != end:
            what = "overlaps the tensor before it" if tensor.offset < end else "leaves a hole"
            raise _contradiction(
                f"{where}:{tensor.name}",
                f"begins at byte {tensor.offset} where {end} is expected: it {what}",
            )
        end += tensor.nbytes
    _check_length(end, size, where, "its tensors")
    if size > end:
        raise _contradiction(where, f"{size - end} bytes after the last tensor")


def _check_length(needed: int, size: int, where: str, what: str) -> None:
    if size < needed:
        raise CheckpointError(
            "truncated-file",
            f"{needed - size} of {needed} bytes are missing",
            where=where,
            reason=f"{what} should end at byte {needed}, the file ends at {size}",
            hint=_DOWNLOAD_AGAIN,
        )


def _contradiction(where: str, message: str) -> CheckpointError:
    return CheckpointError("bad-safetensors", message, where=where, hint=_DOWNLOAD_AGAIN)
