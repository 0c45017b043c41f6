"""What reading and writing GGUF share (docs/gguf.md of the ggml project, ggml/src/gguf.cpp).

Layout, all little endian: magic, version, number of tensors and of key-values, the key-values, the
tensor infos, padding; then the data section, where every tensor begins at a multiple of the
alignment.
"""

from __future__ import annotations

from collections.abc import Iterable

from quantize.formats.kv import KV

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT_KEY = "general.alignment"
DEFAULT_ALIGNMENT = 32
MAX_DIMS = 4
MAX_NAME_NBYTES = 63


def pad(nbytes: int, alignment: int) -> int:
    """`nbytes` rounded up to a multiple of `alignment`."""
    return -(-nbytes // alignment) * alignment


def alignment_of(kvs: Iterable[KV]) -> int:
    """The alignment that the key-values ask for. Raises ValueError if it is no power of two."""
    for kv in kvs:
        if kv.key == ALIGNMENT_KEY:
            value = kv.value
            if kv.type != "UINT32" or value < 1 or value & (value - 1):
                raise ValueError(f"{ALIGNMENT_KEY} must be a UINT32 power of two, not {value!r}")
            return int(value)
    return DEFAULT_ALIGNMENT
