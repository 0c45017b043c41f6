"""Arrays in, arrays out: the arithmetic of ggml's types, one mechanism per file.

NumPy is the reference. An accelerated twin of a kernel gives the same bytes.
"""

from __future__ import annotations

import importlib.util


def available() -> tuple[str, ...]:
    """Names of the kernel sets that this machine can run, slowest first. Imports nothing."""
    if importlib.util.find_spec("numba") is None:
        return ("numpy",)
    return ("numpy", "numba")
