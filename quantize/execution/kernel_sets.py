"""Which set of kernels computes, and what its workers are."""

from __future__ import annotations

from quantize.errors import UsageError
from quantize.kernels import available

# Whether a set of kernels holds the interpreter lock for most of its time, so that each worker
# needs a process of its own.
PROCESSES = {"numpy": True, "numba": False}


def choose_kernels(name: str) -> str:
    """The set that runs: the fastest one for "auto". Raises UsageError if it is not installed."""
    installed = available()
    if name == "auto":
        return installed[-1]
    if name not in PROCESSES:
        raise UsageError(
            "unknown-kernels", f"{name!r} is not a set of kernels", hint="auto, numpy or numba"
        )
    if name not in installed:
        raise UsageError(
            "kernels-not-installed",
            f"the {name} kernels need a package that is not installed",
            where="--kernels",
            hint="pip install 'quantize-gguf[fast]', or --kernels numpy",
        )
    return name
