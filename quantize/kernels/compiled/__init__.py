"""Kernels compiled by Numba: the same arithmetic in the same order, so the same bytes.

Nothing here may reorder a sum or fuse a multiplication with an addition: `fastmath` stays off, and
LLVM contracts nothing without it. Loops run over lanes, one block per lane, because only the order
within a block decides bytes. Importing this package imports Numba.

A kernel is compiled again when its own file changes. Installing a version touches every file; who
edits one that others import deletes `__pycache__` (the tests keep a cache of their own).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile on first call; keep the machine code on disk where some place is writable."""
    try:
        return _jit(function, cache=True)
    except RuntimeError:
        # Numba found no locator: neither beside the source nor in the user's cache.
        return _jit(function, cache=False)


def part(function: F) -> F:
    """A part of kernels, compiled into them.

    It is not kept: its vectors would be in the cache by the names of their classes, and Numba does
    not forgive a name that a later version has lost.
    """
    return _jit(function, cache=False)


def _jit(function: F, *, cache: bool) -> F:
    # The error model makes division by zero give infinity, as in NumPy and C, not an exception.
    options = numba.njit(cache=cache, nogil=True, fastmath=False, error_model="numpy")
    return cast(F, options(function))
