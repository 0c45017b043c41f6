"""Ask llama.cpp itself which types it gives the tensors of tests/recipe_models.py.

Writes tests/data/recipes/NAME.txt. Needs `pip install -e .[oracle]`: libllama exports, for its own
tests, the function that llama-quantize chooses types with. Run from the root of the repository.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from quantize.recipes import FTYPES
from quantize.tensors import GGML_TYPES_BY_ID
from tests.recipe_models import RECIPE_MODELS, RecipeModel, render

FOLDER = Path(__file__).parent.parent / "tests" / "data" / "recipes"


class ModelDesc(ctypes.Structure):
    """llama-ext.h, llama_quant_model_desc."""

    _fields_ = [
        ("architecture", c_char_p),
        *((name, c_uint32) for name in ("n_embd", "n_ff", "n_layer", "n_head", "n_head_kv")),
        *((name, c_uint32) for name in ("n_expert", "n_embd_head_k", "n_embd_head_v")),
    ]


class QuantizeParams(ctypes.Structure):
    """llama.h, llama_model_quantize_params. Only passed on as the library made it."""

    _fields_ = [
        *((name, c_int) for name in ("nthread", "ftype", "output_type", "embedding_type")),
        *((f"flag_{i}", c_bool) for i in range(6)),
        *((name, c_void_p) for name in ("imatrix", "kv", "tensors", "prune")),
        ("max_buf_size", c_size_t),
    ]


class InitParams(ctypes.Structure):
    """ggml.h, ggml_init_params."""

    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


def load() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        sys.exit("llama-cpp-python is not installed; run: pip install -e .[oracle]")
    folder = Path(spec.origin).parent / "lib"
    names = ("libggml-base.so", "libggml-cpu.so", "libggml.so", "libllama.so")
    ggml, _, _, llama = (ctypes.CDLL(str(folder / name), ctypes.RTLD_GLOBAL) for name in names)
    ggml.ggml_init.argtypes, ggml.ggml_init.restype = [InitParams], c_void_p
    ggml.ggml_free.argtypes = [c_void_p]
    ggml.ggml_new_tensor.argtypes = [c_void_p, c_int, c_int, POINTER(c_int64)]
    ggml.ggml_new_tensor.restype = c_void_p
    ggml.ggml_set_name.argtypes, ggml.ggml_set_name.restype = [c_void_p, c_char_p], c_void_p
    llama.llama_model_quantize_default_params.restype = QuantizeParams
    return ggml, llama


def function(library: ctypes.CDLL, mangled: str, result: Any, *arguments: Any) -> Any:
    """C++ functions have no plain names in the library."""
    found = library[mangled]
    found.argtypes, found.restype = arguments, result
    return found


def types_by_ftype(
    ggml: ctypes.CDLL, llama: ctypes.CDLL, model: RecipeModel
) -> dict[str, list[str]]:
    make = function(
        llama, "_Z31llama_quant_model_from_metadataPK22llama_quant_model_desc", c_void_p, c_void_p
    )
    start = function(
        llama,
        "_Z16llama_quant_initPK11llama_modelPK27llama_model_quantize_params",
        c_void_p, c_void_p, c_void_p,
    )  # fmt: skip
    compute = function(
        llama,
        "_Z25llama_quant_compute_typesP19quantize_state_impl11llama_ftypePP11ggml_tensorP9ggml_typem",
        None, c_void_p, c_int, c_void_p, c_void_p, c_size_t,
    )  # fmt: skip
    tensors = model.tensors()
    context = ggml.ggml_init(InitParams(4096 * len(tensors) + 65536, None, True))  # noqa: FBT003
    pointers = (c_void_p * len(tensors))()
    for i, (name, shape) in enumerate(tensors):
        ne = (c_int64 * len(shape))(*shape[::-1])
        pointers[i] = ggml.ggml_new_tensor(context, 0, len(shape), ne)
        ggml.ggml_set_name(pointers[i], name.encode())
    head = model.cols // model.heads
    desc = ModelDesc(
        model.arch.encode(), model.cols, model.ff, model.layers, model.heads, model.heads_kv,
        model.experts, head, head,
    )  # fmt: skip
    params = llama.llama_model_quantize_default_params()
    state = start(make(byref(desc)), byref(params))
    found = {}
    for ftype in FTYPES.values():
        numbers = (c_int * len(tensors))()
        compute(state, ftype.id, pointers, numbers, len(tensors))
        found[ftype.name] = [GGML_TYPES_BY_ID[number].name for number in numbers]
    ggml.ggml_free(context)
    return found


def main() -> None:
    ggml, llama = load()
    FOLDER.mkdir(exist_ok=True)
    for name, model in RECIPE_MODELS.items():
        found = types_by_ftype(ggml, llama, model)
        text = "".join(f"[{ft}]\n{render(model.tensors(), types)}" for ft, types in found.items())
        (FOLDER / f"{name}.txt").write_text(text)
        print(FOLDER / f"{name}.txt")


if __name__ == "__main__":
    main()
