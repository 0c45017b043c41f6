"""GGUF models in several files, as others may have split them: in any order, cut anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from quantize.formats.gguf import TensorEntry, data_offsets, encode_header
from quantize.formats.gguf_read import GGUFHeader, read_header
from quantize.formats.gguf_split import part_names
from quantize.formats.kv import KV

# Number of a file, how many there are, how many tensors -> what the file says of that.
Said = Callable[[int, int, int], tuple[KV, ...]]


def header_of(path: Path) -> GGUFHeader:
    data = path.read_bytes()
    return read_header(lambda offset, n: data[offset : offset + n], len(data), path.name)


def as_usual(number: int, count: int, tensors: int) -> tuple[KV, ...]:
    return (
        KV("split.no", "UINT16", number),
        KV("split.count", "UINT16", count),
        KV("split.tensors.count", "INT32", tensors),
    )


def write_parts(
    source: Path, folder: Path, groups: Sequence[Sequence[str]], says: Said = as_usual
) -> list[Path]:
    """One file for each group of tensors of `source`; the first one has its key-values."""
    header, data = header_of(source), source.read_bytes()
    total = sum(map(len, groups))
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in part_names(source.stem, len(groups))]
    for number, (path, names) in enumerate(zip(paths, groups, strict=True)):
        tensors = [header.tensors[name] for name in names]
        offsets, size = data_offsets(tensor.nbytes for tensor in tensors)
        entries = [
            TensorEntry(tensor.name, tensor.shape, tensor.dtype, offset)
            for tensor, offset in zip(tensors, offsets, strict=True)
        ]
        kvs = (*(header.kvs if number == 0 else ()), *says(number, len(groups), total))
        body = bytearray(size)
        for tensor, offset in zip(tensors, offsets, strict=True):
            body[offset : offset + tensor.nbytes] = data[tensor.offset :][: tensor.nbytes]
        path.write_bytes(encode_header(kvs, entries) + body)
    return paths


def scattered(source: Path) -> list[list[str]]:
    """No tensors in the first file; in the others those of all blocks, the last block first."""
    names = sorted(header_of(source).tensors, reverse=True)
    return [[], names[::3], names[1::3], names[2::3]]
