"""What llama.cpp makes of a GGUF file without one of its key-values or tensors.

A file that lacks something may abort llama.cpp with the whole process, so each is tried in a child.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quantize.evaluation.llama import Batch, Llama, Parameters, load
from quantize.formats.gguf import TensorEntry, data_offsets, encode_header, pad
from quantize.formats.gguf_read import read_header
from quantize.formats.kv import KV
from quantize.tensors import StoredTensor

Outcome = Literal["same", "tokens", "differs", "refused"]

# Seconds; a child that takes longer is lost.
_LONGEST = 20
_N_TOKENS, _CONTEXT = 24, 64
_TEXT = "Hello world, <s>[INST] 123 <|im_start|>user\nété</s> ABC  def".encode()
# Architectures that make vectors of texts, and no next token.
_VECTORS = frozenset({
    "bert", "dream", "eurobert", "gemma-embedding", "jina-bert-v2", "llada", "llada-moe",
    "llama-embed", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "rnd1", "t5",
    "t5encoder",
})  # fmt: skip
# Name in llama.h -> what it gives, what it takes; beside those that the evaluation uses.
_FUNCTIONS: Mapping[str, tuple[Any, list[Any]]] = {
    "llama_encode": (c_int32, [c_void_p, Batch]),
    "llama_get_embeddings": (POINTER(c_float), [c_void_p]),
    "llama_get_embeddings_seq": (POINTER(c_float), [c_void_p, c_int32]),
    "llama_set_embeddings": (None, [c_void_p, c_bool]),
    "llama_model_n_embd_out": (c_int32, [c_void_p]),
    "llama_pooling_type": (c_int, [c_void_p]),
    "llama_token_to_piece": (c_int32, [c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool]),
    "llama_vocab_is_eog": (c_bool, [c_void_p, c_int32]),
}


class Taken:
    """A GGUF file in parts, to be written again without one of them."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:

            def read(offset: int, nbytes: int) -> bytes:
                file.seek(offset)
                return file.read(nbytes)

            header = read_header(read, path.stat().st_size, path.name)
            self.kvs: Sequence[KV] = list(header.kvs)
            self.tensors: Mapping[str, StoredTensor] = header.tensors
            self._data = {name: read(t.offset, t.nbytes) for name, t in header.tensors.items()}
        self.arch = next(str(kv.value) for kv in self.kvs if kv.key == "general.architecture")

    def names(self) -> list[str]:
        """Of all key-values and tensors."""
        return [*(kv.key for kv in self.kvs), *self.tensors]

    def write_without(self, name: str, path: Path) -> Path:
        kept = {one: tensor for one, tensor in self.tensors.items() if one != name}
        offsets, _ = data_offsets([tensor.nbytes for tensor in kept.values()])
        entries = [
            TensorEntry(one, tensor.shape, tensor.dtype, offset)
            for (one, tensor), offset in zip(kept.items(), offsets, strict=True)
        ]
        padded = (self._data[one].ljust(pad(kept[one].nbytes, 32), b"\0") for one in kept)
        header = encode_header([kv for kv in self.kvs if kv.key != name], entries)
        path.write_bytes(header + b"".join(padded))
        return path


def outcomes(
    taken: Taken, scratch: Path, names: Sequence[str] | None = None
) -> Iterator[tuple[str, Outcome]]:
    """Each of `names` (None: all), and what becomes of the file without; `scratch` is overwritten.

    "tokens": texts are cut into other tokens, or end elsewhere. Raises ValueError for a file that
    llama.cpp does not load as it is.
    """
    makes_vectors = taken.arch in _VECTORS
    whole = _tried(taken.write_without("", scratch), makes_vectors=makes_vectors)
    if not whole:
        raise ValueError("llama.cpp does not compute with the file as it is")
    for name in taken.names() if names is None else names:
        found = _tried(taken.write_without(name, scratch), makes_vectors=makes_vectors)
        if not found:
            yield name, "refused"
        elif found[1] != whole[1]:
            yield name, "differs"
        else:
            yield name, "same" if found == whole else "tokens"


def _tried(path: Path, *, makes_vectors: bool) -> tuple[str, str] | None:
    """Digests of what llama.cpp makes of texts, and of what it computes; None if it does not."""
    llama = _llama()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            signal.alarm(_LONGEST)
            os.write(writing, " ".join(_computed(llama, path, makes_vectors)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode().split()
    os.waitpid(child, 0)
    return (said[0], said[1]) if len(said) == 2 else None


@cache
def _llama() -> Llama:
    from xllamacpp import xllamacpp

    llama = load()
    library = ctypes.CDLL(xllamacpp.__file__)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
        setattr(llama, name.removeprefix("llama_"), function)
    return llama


def _computed(llama: Llama, path: Path, makes_vectors: bool) -> list[str]:  # noqa: FBT001
    model = llama.model_load_from_file(bytes(path), llama.model_default_params())
    if not model:
        return []
    parameters: Parameters = llama.context_default_params()
    parameters.words[0] = parameters.words[1] = _CONTEXT
    state = llama.init_from_model(model, parameters)
    if not state:
        return []
    llama.set_n_threads(state, 1, 1)
    vocab = llama.model_get_vocab(model)
    size = llama.vocab_n_tokens(vocab)
    ids = np.array([(7 + 13 * place) % min(size, 900) for place in range(_N_TOKENS)], np.int32)
    batch = llama.batch_get_one(ids.ctypes.data_as(POINTER(c_int32)), _N_TOKENS)
    run = _vectors if makes_vectors else _logits
    found = run(llama, model, state, batch, size)
    return [] if found is None else [_texts(llama, vocab, size), _digest(found)]


def _logits(llama: Llama, model: int, state: int, batch: Batch, size: int) -> bytes | None:
    wanted = np.ones(_N_TOKENS, np.int8)
    batch.logits = wanted.ctypes.data_as(POINTER(ctypes.c_int8))
    if llama.decode(state, batch):
        return None
    return np.ctypeslib.as_array(llama.get_logits(state), (_N_TOKENS, size)).tobytes()


def _vectors(llama: Llama, model: int, state: int, batch: Batch, size: int) -> bytes | None:
    llama.set_embeddings(state, c_bool(True))  # noqa: FBT003 (C's argument)
    if llama.encode(state, batch):
        return None
    pools, cols = llama.pooling_type(state) > 0, llama.model_n_embd_out(model)
    found = llama.get_embeddings_seq(state, 0) if pools else llama.get_embeddings(state)
    if not found:
        return None
    return np.ctypeslib.as_array(found, (cols if pools else cols * _N_TOKENS,)).tobytes()


def _texts(llama: Llama, vocab: int, size: int) -> str:
    """How a text is cut, what each token is written as, and which of them end a text."""
    ids = (c_int32 * 256)()
    count = llama.tokenize(vocab, _TEXT, len(_TEXT), ids, len(ids), True, True)  # noqa: FBT003
    buffer = ctypes.create_string_buffer(256)
    pieces = []
    for token in range(size):
        length = llama.token_to_piece(vocab, token, buffer, len(buffer), 0, False)  # noqa: FBT003
        pieces.append(buffer.raw[: max(length, 0)])
    ends = [llama.vocab_is_eog(vocab, token) for token in range(size)]
    return _digest(repr((ids[: max(count, 0)], pieces, ends)).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
