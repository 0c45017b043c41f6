"""ggml's own quantizers and decoders, by ctypes from the library that llama-cpp-python installs."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.tensors import GGMLType

_FLOATS = ctypes.POINTER(ctypes.c_float)


class Ggml:
    """`ggml_quantize_chunk`, the function that llama-quantize calls, and its way back."""

    def __init__(self) -> None:
        """Raises FileNotFoundError where llama-cpp-python is not installed."""
        self._library = library = ctypes.CDLL(str(_library()))
        self._init = library.ggml_quantize_init
        self._init.argtypes, self._init.restype = [ctypes.c_int], None
        self._quantize = library.ggml_quantize_chunk
        self._quantize.argtypes = [
            ctypes.c_int, _FLOATS, ctypes.c_void_p,
            ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, _FLOATS,
        ]  # fmt: skip
        self._quantize.restype = ctypes.c_size_t
        self._needs_imatrix = library.ggml_quantize_requires_imatrix
        self._needs_imatrix.argtypes, self._needs_imatrix.restype = [ctypes.c_int], ctypes.c_bool

    def needs_imatrix(self, kind: GGMLType) -> bool:
        """Whether `quantize` would end the process without an importance matrix."""
        return bool(self._needs_imatrix(kind.id))

    def quantize(
        self, kind: GGMLType, rows: NDArray[np.float32], imatrix: NDArray[np.float32] | None = None
    ) -> NDArray[np.uint8]:
        """Float32 `(n, cols)`, contiguous, to uint8 `(n, nbytes of a row)`."""
        n, cols = rows.shape
        out = np.empty((n, kind.row_nbytes(cols)), np.uint8)
        weights = None if imatrix is None else imatrix.ctypes.data_as(_FLOATS)
        self._init(kind.id)
        self._quantize(kind.id, rows.ctypes.data_as(_FLOATS), out.ctypes.data, 0, n, cols, weights)
        return out

    def dequantize(self, kind: GGMLType, data: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The way back, of contiguous `data`."""
        n, nbytes = data.shape
        out = np.empty((n, nbytes // kind.type_size * kind.block_size), np.float32)
        decode = self._library[f"dequantize_row_{kind.name.lower()}"]
        decode.argtypes, decode.restype = [ctypes.c_void_p, _FLOATS, ctypes.c_int64], None
        decode(data.ctypes.data, out.ctypes.data_as(_FLOATS), out.size)
        return out


def _library() -> Path:
    spec = importlib.util.find_spec("llama_cpp")
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        for name in ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll"):
            if (Path(folder) / "lib" / name).is_file():
                return Path(folder) / "lib" / name
    raise FileNotFoundError("llama-cpp-python is not installed; see make oracle")
