"""Importance matrices as llama-imatrix writes them: GGUF, sums and counts of each tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quantize.formats.gguf import TensorEntry, data_offsets, encode_header
from quantize.formats.kv import array, string, u32


def encode_imatrix(
    sums: Mapping[str, NDArray[np.float64]],
    counts: Mapping[str, NDArray[np.int64]],
    datasets: Sequence[str],
    chunks: int,
    chunk_size: int,
) -> bytes:
    """The bytes of a file. Sums are `(matrices, cols)`, counts `(matrices,)`, by tensors' names."""
    kvs = (
        string("general.type", "imatrix"),
        array("imatrix.datasets", "STRING", datasets),
        u32("imatrix.chunk_count", chunks),
        u32("imatrix.chunk_size", chunk_size),
    )
    values: dict[str, NDArray[np.float32]] = {}
    for name in sorted(sums):
        values[f"{name}.in_sum2"] = sums[name].astype("<f4")
        values[f"{name}.counts"] = counts[name].astype("<f4")[:, None]
    offsets, size = data_offsets(one.nbytes for one in values.values())
    entries = [
        TensorEntry(name, one.shape if len(one) > 1 else one.shape[1:], "F32", offset)
        for (name, one), offset in zip(values.items(), offsets, strict=True)
    ]
    data = bytearray(size)
    for one, offset in zip(values.values(), offsets, strict=True):
        data[offset : offset + one.nbytes] = one.tobytes()
    return encode_header(kvs, entries) + bytes(data)
