"""The architectures of llama.cpp and the tensors that each may have, by gguf-py's tables."""

from __future__ import annotations

import re
from functools import cache

_BLOCK = re.compile(r"(?<=blk\.)\d+(?=\.)")
# Layers that predict several tokens ahead follow the blocks of any model; gguf-py lists them for
# the architectures that had them first.
_NEXTN = "blk.{bid}.nextn."


def is_known(arch: str) -> bool:
    import gguf

    return arch in gguf.MODEL_ARCH_NAMES.values()


def unknown_tensors(arch: str, names: list[str]) -> list[str]:
    """Those of `names` that llama.cpp would not read; none if it is not known for `arch`."""
    known = _known(arch)
    return [name for name in names if known and not _is_known(_BLOCK.sub("{bid}", name), known)]


def _is_known(pattern: str, known: frozenset[str]) -> bool:
    base = pattern.rpartition(".")[0]
    return bool({pattern, base} & known) or pattern.startswith(_NEXTN)


@cache
def _known(arch: str) -> frozenset[str]:
    import gguf

    found = [one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == arch]
    return frozenset(
        gguf.TENSOR_NAMES[tensor] for one in found for tensor in gguf.MODEL_TENSORS.get(one, ())
    )
