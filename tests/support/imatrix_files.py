"""Importance matrices in tests: to write in llama-imatrix's two formats, and what comes of them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from quantize.formats.gguf_read import GGUFHeader, read_header
from quantize.formats.imatrix_files import read_imatrix

F32Array = NDArray[np.float32]
# Sums of one tensor, and how many inputs each of its groups saw.
Entry = tuple[F32Array, Sequence[float]]


def write_gguf(
    path: Path,
    entries: Mapping[str, Entry],
    *,
    datasets: Sequence[str] = ("text.txt",),
    chunks: int = 3,
    chunk_size: int = 64,
) -> Path:
    """A GGUF file, as IMatrixCollector::save_imatrix writes it."""
    writer = gguf.GGUFWriter(path, "")
    writer.kv_data[0].clear()  # it has no architecture
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", datasets)
    writer.add_uint32("imatrix.chunk_count", chunks)
    writer.add_uint32("imatrix.chunk_size", chunk_size)
    for name, (sums, counts) in entries.items():
        groups = len(counts)
        writer.add_tensor(f"{name}.in_sum2", sums.astype(np.float32).reshape(groups, -1))
        writer.add_tensor(f"{name}.counts", np.array(counts, np.float32).reshape(groups, 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_dat(
    path: Path,
    entries: Mapping[str, tuple[F32Array, int]],
    *,
    chunks: int | None = 3,
    dataset: str | None = "text.txt",
) -> Path:
    """A .dat file, as IMatrixCollector::save_imatrix_legacy writes it; None leaves out its end."""
    parts = [struct.pack("<i", len(entries))]
    for name, (values, calls) in entries.items():
        raw = name.encode()
        parts += [struct.pack("<i", len(raw)), raw, struct.pack("<ii", calls, values.size)]
        parts.append(values.astype("<f4").tobytes())
    if chunks is not None:
        parts.append(struct.pack("<i", chunks))
    if dataset is not None:
        parts += [struct.pack("<i", len(dataset.encode())), dataset.encode()]
    path.write_bytes(b"".join(parts))
    return path


def entries_of(path: Path) -> dict[str, Entry]:
    """Values of a matrix as sums of one input each, to be spoiled and written again."""
    return {
        name: (entry.values() * np.float32(1), [1])
        for name, entry in read_imatrix(path).entries.items()
    }


def header_of(path: Path) -> GGUFHeader:
    data = path.read_bytes()
    return read_header(lambda offset, n: data[offset : offset + n], len(data), path.name)


def digests_of(path: Path) -> dict[str, tuple[str, str]]:
    data = path.read_bytes()
    return {
        tensor.name: (
            tensor.dtype,
            hashlib.sha256(data[tensor.offset : tensor.offset + tensor.nbytes]).hexdigest(),
        )
        for tensor in header_of(path).tensors.values()
    }
