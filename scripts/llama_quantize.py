"""llama.cpp's own quantizer, from the library that llama-cpp-python installs.

python scripts/llama_quantize.py IN.gguf OUT.gguf Q4_K_M THREADS
"""

from __future__ import annotations

import ctypes
import importlib
import sys


def main(source: str, target: str, type: str, threads: str) -> None:
    # By name, so that types are checked where it is not installed too.
    llama_cpp = importlib.import_module("llama_cpp")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{type}")
    params.nthread = int(threads)
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    if code:
        raise SystemExit(f"llama_model_quantize: {code}")


if __name__ == "__main__":
    main(*sys.argv[1:])
