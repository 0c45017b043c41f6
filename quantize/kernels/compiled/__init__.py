"""Kernels compiled by Numba: the same arithmetic in the same order, so the same bytes.

Nothing here may reorder a sum or fuse a multiplication with an addition: `fastmath` stays off, and
LLVM contracts nothing without it. Loops run over lanes, one block per lane, because only the order
within a block decides bytes. Importing this package imports Numba.

Machine code is kept in the user's cache, in a folder named after the sources of all kernels: Numba
itself only looks at the file that a function is in, and would run stale code after an upgrade.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def _cache_folder() -> str:
    """Where machine code is kept: NUMBA_CACHE_DIR if set, else a folder for just these sources."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return chosen
    sha = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(source.read_bytes())
    return str(_user_cache() / "quantize" / f"numba-{sha.hexdigest()[:16]}")


def _user_cache() -> Path:
    home = Path("~").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home)
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")


_CACHE_FOLDER = _cache_folder()
# For debugging: the bodies as plain Python, see vector.py.
_INTERPRETED = os.environ.get("QUANTIZE_INTERPRET") == "1"


def compiled(function: F) -> F:
    """Compile on first call; keep the machine code on disk where some place is writable."""
    # Numba asks its global setting while it decorates; other users of Numba keep theirs.
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = _CACHE_FOLDER
    try:
        return _jit(function, cache=True)
    except RuntimeError:
        # No folder can be written to.
        return _jit(function, cache=False)
    finally:
        settings.CACHE_DIR = before


def device(function: F) -> F:
    """A function that kernels call: compiled into them, "device" code in a GPU's words.

    It is not kept: its vectors would be in the cache by the names of their classes, and Numba does
    not forgive a name that a later version has lost.
    """
    return _jit(function, cache=False)


def inlined(function: F) -> F:
    """The same without a call, whose arguments would cost more than what it does."""
    return _jit(function, cache=False, forceinline=True)


def _jit(function: F, *, cache: bool, forceinline: bool = False) -> F:
    if _INTERPRETED:
        return function
    # The error model makes division by zero give infinity, as in NumPy and C, not an exception.
    options = numba.njit(
        cache=cache, nogil=True, fastmath=False, error_model="numpy", forceinline=forceinline
    )
    return cast(F, options(function))
