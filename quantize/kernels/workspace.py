"""Scratch arrays that a thread uses again and again.

Allocating megabytes per step costs more than the arithmetic done in them: the pages come back
cold from the operating system every time.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_BUFFERS = threading.local()

# Vector loads that straddle cache lines cost twice.
_CACHE_LINE = 64


def scratch(name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """An aligned C-contiguous array of `shape`, in the same memory on every call.

    Its contents are undefined. `name` belongs to one use within one kernel: two arrays alive at
    once need two names. The buffer grows to the largest request and stays with its thread.
    """
    kind = np.dtype(dtype)
    count = math.prod(shape)
    buffers: dict[str, NDArray[Any]] = _BUFFERS.__dict__
    key = f"{name} {kind.str}"
    buffer = buffers.get(key)
    if buffer is None or buffer.size < count:
        room = np.empty(count * kind.itemsize + _CACHE_LINE, np.uint8)
        start = -room.ctypes.data % _CACHE_LINE
        buffer = room[start : start + count * kind.itemsize].view(kind)
        buffers[key] = buffer
    return buffer[:count].reshape(shape)
