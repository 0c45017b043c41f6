"""Whether a GGUF file is whole by itself: its header, its layout, its tensors' numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.errors import CheckpointError, QuantizeError, UnsupportedError, VerificationError
from quantize.execution.checks import overflows
from quantize.formats.gguf import pad
from quantize.formats.gguf_read import GGUFHeader
from quantize.formats.kv_kinds import check_kinds
from quantize.formats.needs import missing
from quantize.kernels.floats import check_finite
from quantize.planning.model import Model, OutputTensor
from quantize.planning.shapes import check_shapes
from quantize.progress import Progress
from quantize.sources import opening
from quantize.tensors import GGML_TYPES, StoredTensor, block_of
from quantize.units import listed

_PIECE = 1 << 20


def open_gguf(path: Path) -> GGUFFile:
    """The file, if its header can be read and every tensor lies inside. Raises VerificationError.

    Raises UsageError or DiskError if there is no such file.
    """
    try:
        return opening.open_gguf(path)
    except (CheckpointError, UnsupportedError) as error:
        raise _broken(error, path.name) from error


def check_structure(file: GGUFFile, progress: Progress) -> None:
    """Raise VerificationError unless everything in the file fits together.

    Looked at are the bytes between tensors, the numbers of blocks, the shapes that follow from the
    key-values, the rows of the vocabulary, and every scale and float, which must be finite.
    """
    _check_model(file)
    progress.start("structure", sum(tensor.nbytes for tensor in file.tensors.values()))
    for part, header in file.headers.items():
        _check_layout(file, part, header, progress)
    progress.finish()


def _check_layout(file: GGUFFile, part: str, header: GGUFHeader, progress: Progress) -> None:
    """The bytes of one of the model's files."""
    tensors = sorted(header.tensors.values(), key=lambda tensor: tensor.offset)
    end = header.data_start
    for tensor in tensors:
        _check_padding(file, part, end, tensor.offset, tensor.name)
        for data in _pieces(file, tensor):
            if not _is_finite(tensor.dtype, data):
                raise VerificationError(
                    "not-finite",
                    "a scale or a weight is NaN or infinite",
                    where=f"{part}: {tensor.name}",
                    hint="convert it again, or download it again",
                )
            progress.advance(len(data), tensor.name)
        end = tensor.offset + tensor.nbytes
    size = file.files.files()[part]
    _check_padding(file, part, end, size, "the end of the file")
    if size > pad(end, header.alignment):
        raise _wrong(part, "the end of the file", f"{size - end} bytes after the last tensor")


def _check_model(file: GGUFFile) -> None:
    kvs = file.kvs
    try:
        check_kinds(kvs, file.file)
    except CheckpointError as error:
        raise _broken(error, file.file) from error
    arch = kvs.value("general.architecture")
    if not isinstance(arch, str):
        raise _wrong(file.file, "general.architecture", "the file does not name its architecture")
    if kvs.value("general.type", "model") != "model":
        return
    names = file.tensors
    if "token_embd.weight" not in names:
        raise _wrong(file.file, "token_embd.weight", "the tensor is missing")
    found = {block for block in map(block_of, names) if block is not None}
    count = kvs.hparam("block_count")
    if isinstance(count, int):
        # Up to the first one only: a damaged file may name four billion blocks.
        empty = next((block for block in range(count) if block not in found), None)
        if empty is not None:
            raise _wrong(file.file, f"blk.{empty}", f"block {empty} of {count} has no tensors")
        if found and max(found) >= count and kvs.hparam("decoder_block_count") is None:
            raise _wrong(file.file, f"blk.{max(found)}", f"the key-values name {count} blocks")
    shapes = {name: tensor.shape for name, tensor in names.items()}
    lost = [one.name for one in missing(kvs, shapes) if one.effect == "refused"]
    if lost:
        raise _wrong(file.file, lost[0], f"{arch} does not load without {listed(lost)}")
    outputs = [OutputTensor(tensor.name, tensor.shape) for tensor in names.values()]
    try:
        check_shapes(Model(file.name, arch, file.kvs, outputs))
    except CheckpointError as error:
        raise _broken(error, file.file) from error


def _pieces(file: GGUFFile, tensor: StoredTensor) -> Iterator[bytes]:
    block = GGML_TYPES[tensor.dtype].type_size
    step = max(_PIECE // block, 1) * block
    for offset in range(0, tensor.nbytes, step):
        nbytes = min(step, tensor.nbytes - offset)
        yield file.files.read(tensor.file, tensor.offset + offset, nbytes)


def _is_finite(type: str, data: bytes) -> bool:
    stored = np.frombuffer(data, np.uint8)
    if type == "F32":
        return check_finite(stored.view("<f4")) is None
    return not overflows(type, stored)


def _check_padding(file: GGUFFile, part: str, start: int, end: int, before: str) -> None:
    if file.files.read(part, start, max(end - start, 0)).strip(b"\0"):
        raise _wrong(part, f"before {before}", "the bytes that fill up are not zero")


def _wrong(part: str, where: str, message: str) -> VerificationError:
    return VerificationError(
        "bad-structure",
        message,
        where=f"{part}: {where}",
        hint="convert it again, or download it again",
    )


def _broken(error: QuantizeError, file: str) -> VerificationError:
    where = (
        error.where if error.where and error.where.startswith(file) else f"{file}: {error.where}"
    )
    return VerificationError(
        "bad-structure",
        error.message,
        where=where,
        reason=error.reason,
        hint="convert it again, or download it again",
    )
