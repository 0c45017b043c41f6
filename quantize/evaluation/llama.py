"""llama.cpp's C interface, in the library that the wheel of xllamacpp carries.

The Python side of that wheel serves requests, and tells a whole distribution of one token at a
time only, as JSON. The library inside exports the functions of llama.h, which give the logits of
all tokens at once; ctypes calls them.

The structs of parameters grow with llama.cpp, so their layout is not written down here: both are
taken from llama.cpp's own defaults and handed back as they are, except for the sizes at the very
beginning of llama_context_params. That these, and the fields of llama_batch, are where they were
is looked up before anything relies on it.
"""

from __future__ import annotations

import ctypes
from collections import deque
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_uint32, c_void_p
from functools import cache
from typing import Any

from quantize.errors import UnsupportedError, UsageError

_LOG_ERROR = 4  # GGML_LOG_LEVEL_ERROR
# n_ctx, n_batch and n_ubatch, as llama_context_default_params has them.
_DEFAULT_SIZES = [512, 2048, 512]


class Parameters(ctypes.Structure):
    """llama_model_params or llama_context_params, with room for more than either has.

    A caller passes a struct of this size by a pointer or as the last thing on the stack: whoever
    is called sees its own part of it.
    """

    _fields_ = [("words", c_uint32 * 256)]


class Batch(ctypes.Structure):
    """llama_batch. Null pointers: positions count on, and all tokens are of sequence 0."""

    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


_Log = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)

# Name in llama.h -> what it gives, what it takes.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_log_set": (None, [_Log, c_void_p]),
    "llama_backend_init": (None, []),
    "llama_model_default_params": (Parameters, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, Parameters]),
    "llama_model_free": (None, [c_void_p]),
    "llama_model_has_encoder": (c_bool, [c_void_p]),
    "llama_model_meta_val_str": (c_int32, [c_void_p, c_char_p, c_char_p, ctypes.c_size_t]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_context_default_params": (Parameters, []),
    "llama_init_from_model": (c_void_p, [c_void_p, Parameters]),
    "llama_free": (None, [c_void_p]),
    "llama_set_n_threads": (None, [c_void_p, c_int32, c_int32]),
    "llama_n_batch": (c_uint32, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_vocab_get_text": (c_char_p, [c_void_p, c_int32]),
    "llama_vocab_get_add_bos": (c_bool, [c_void_p]),
    "llama_vocab_get_add_eos": (c_bool, [c_void_p]),
    "llama_vocab_bos": (c_int32, [c_void_p]),
    "llama_tokenize": (
        c_int32,
        [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool],
    ),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_clear": (None, [c_void_p, c_bool]),
    "llama_batch_get_one": (Batch, [POINTER(c_int32), c_int32]),
    "llama_decode": (c_int32, [c_void_p, Batch]),
    "llama_get_logits": (POINTER(c_float), [c_void_p]),
}


class Llama:
    """The functions of llama.h as attributes, and what llama.cpp last complained of."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.complaints: deque[str] = deque(maxlen=20)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("llama_"), function)
        # Kept: llama.cpp calls it for as long as it lives.
        self._listener = _Log(self._hear)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def listen(self) -> None:
        """Hear llama.cpp's log, in place of stderr or of whoever heard it before."""
        self.complaints.clear()
        self.log_set(self._listener, None)

    def _hear(self, level: int, text: bytes, _: object) -> None:
        if level == _LOG_ERROR:
            self.complaints.append(text.decode("utf-8", "replace").strip())


@cache
def load() -> Llama:
    """The library, once. Raises UsageError without xllamacpp, UnsupportedError with a foreign one.

    llama.cpp tells nothing on stderr from here on.
    """
    try:
        from xllamacpp import xllamacpp
    except ImportError as error:
        raise UsageError(
            "eval-not-installed",
            "llama.cpp is needed, which is not installed",
            reason=str(error),
            hint="pip install 'quantize-gguf[eval]'",
        ) from error
    try:
        llama = Llama(ctypes.CDLL(xllamacpp.__file__))
    except (AttributeError, OSError) as error:
        raise unknown_engine(str(error)) from error
    _check_layout(llama)
    llama.listen()
    llama.backend_init()
    return llama


def _check_layout(llama: Llama) -> None:
    sizes = list(llama.context_default_params().words[:3])
    if sizes != _DEFAULT_SIZES:
        raise unknown_engine(f"its default sizes are {sizes} instead of {_DEFAULT_SIZES}")
    tokens = (c_int32 * 3)(5, 6, 7)
    batch = llama.batch_get_one(tokens, len(tokens))
    pointers = (batch.embd, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits)
    address = ctypes.cast(batch.token, c_void_p).value
    if (batch.n_tokens, address) != (len(tokens), ctypes.addressof(tokens)) or any(pointers):
        raise unknown_engine("its llama_batch is another one")


def unknown_engine(reason: str) -> UnsupportedError:
    """The refusal of a library in which something is not where it was."""
    return UnsupportedError(
        "unknown-engine",
        "this xllamacpp has another llama.cpp inside than can be used",
        reason=reason,
        hint="versions from 2026.5 to 2026.10 are known to work, on Linux and macOS",
    )
