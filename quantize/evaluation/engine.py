"""A model in llama.cpp: its vocabulary, and the logits of all tokens of a text."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.errors import CheckpointError, UnsupportedError
from quantize.evaluation.activations import Take, Watcher
from quantize.evaluation.llama import Llama, load

_C_INT32 = ctypes.POINTER(ctypes.c_int32)
_C_INT8 = ctypes.POINTER(ctypes.c_int8)

# Arguments of llama_tokenize, then of llama_memory_clear.
_ADD_SPECIAL, _PARSE_SPECIAL = True, False
_DATA_TOO = True


class LoadedModel:
    """A loaded GGUF file with room for `context` tokens. Made by opened()."""

    def __init__(
        self,
        llama: Llama,
        path: Path,
        model: int,
        state: int,
        context: int,
        watcher: Watcher | None = None,
    ) -> None:
        self.path = path
        self.context = context
        self._llama = llama
        self._watcher = watcher
        self._model = model
        self._state = state
        self._vocab = llama.model_get_vocab(model)

    @cached_property
    def vocabulary(self) -> tuple[bytes, ...]:
        """The text of each token, as the file has it."""
        size = self._llama.vocab_n_tokens(self._vocab)
        return tuple(self._llama.vocab_get_text(self._vocab, token) for token in range(size))

    @property
    def bos(self) -> int | None:
        """The token that texts begin with, if the model wants one."""
        if not self._llama.vocab_get_add_bos(self._vocab):
            return None
        return int(self._llama.vocab_bos(self._vocab))

    def tokenize(self, text: bytes) -> NDArray[np.int32]:
        """Ids of UTF-8 `text`, `bos` before them. Special tokens are not looked for in it."""
        # No token is of no bytes; a few are added around the text, or a space before it.
        ids = np.empty(len(text) + 8, np.int32)
        count = self._llama.tokenize(
            self._vocab,
            text,
            len(text),
            ids.ctypes.data_as(_C_INT32),
            len(ids),
            _ADD_SPECIAL,
            _PARSE_SPECIAL,
        )
        if count < 0:
            raise UnsupportedError(
                "unknown-tokenization",
                "llama.cpp cannot tokenize the text with this model",
                where=str(self.path),
                reason=f"{-count} tokens of {len(text)} bytes",
            )
        return ids[:count]

    def watched(self, ids: NDArray[np.int32]) -> None:
        """Compute a text, of which the watcher of opened() is told everything.

        All tokens have outputs: of others, llama.cpp skips a part of the last block.
        """
        if self._watcher is None:
            raise TypeError("opened without a watcher")
        self._compute(ids, 0)
        self._watcher.next_text()

    def logits(self, ids: NDArray[np.int32], first: int) -> NDArray[np.float32]:
        """Of the tokens that come after ids[first], ids[first + 1], ...: (len(ids) - first, vocab).

        `ids` are a text of their own, at most `context`. The array is overwritten by the next
        call, and gone with the model. Raises CheckpointError where they are not numberss.
        """
        found = self._compute(ids, first)
        vocab = self._llama.vocab_n_tokens(self._vocab)
        logits = np.ctypeslib.as_array(found, (len(ids) - first, vocab))
        if not np.isfinite(logits.max(axis=1)).all():
            raise CheckpointError(
                "not-a-number",
                "the model does not compute numbers",
                where=str(self.path),
                reason="logits are NaN or infinite",
                hint="`quantize verify` names a tensor with such values; make the file again",
            )
        return logits

    def _compute(self, ids: NDArray[np.int32], first: int) -> Any:
        self._llama.memory_clear(self._llama.get_memory(self._state), _DATA_TOO)
        ids = np.ascontiguousarray(ids, np.int32)
        wanted = np.zeros(len(ids), np.int8)
        wanted[first:] = 1
        batch = self._llama.batch_get_one(ids.ctypes.data_as(_C_INT32), len(ids))
        batch.logits = wanted.ctypes.data_as(_C_INT8)
        code = self._llama.decode(self._state, batch)
        found = self._llama.get_logits(self._state) if code == 0 else None
        if not found:
            raise _refused(self._llama, self.path, f"it cannot be computed (code {code})")
        return found


@contextmanager
def opened(
    path: Path,
    context: int,
    threads: int,
    wanted: Callable[[str], bool] | None = None,
    take: Take | None = None,
) -> Iterator[LoadedModel]:
    """Load a GGUF file. `take` is handed the inputs of products with matrices that are `wanted`.

    Raises UsageError where llama.cpp is not installed, UnsupportedError for a file that llama.cpp
    refuses or that predicts no next token.
    """
    llama = load()
    llama.listen()
    # A file that is split names its parts itself.
    model = llama.model_load_from_file(bytes(path.absolute()), llama.model_default_params())
    if not model:
        raise _refused(llama, path, "it cannot be loaded")
    try:
        _check_causal(llama, path, model)
        parameters = llama.context_default_params()
        # One batch for the whole context: n_ctx and n_batch. n_ubatch stays, as it bounds memory.
        parameters.words[0] = parameters.words[1] = context
        watcher = None
        if wanted is not None and take is not None:
            watcher = Watcher(llama.library, wanted, take)
            watcher.install(parameters)
        state = llama.init_from_model(model, parameters)
        if not state:
            raise _refused(llama, path, "it cannot be prepared to compute")
        try:
            if llama.n_batch(state) < context:
                # llama.cpp would abort, with the whole process.
                raise _refused(llama, path, f"a context of {context} is too much for it")
            llama.set_n_threads(state, threads, threads)
            yield LoadedModel(llama, path, model, state, context, watcher)
        finally:
            llama.free(state)
    finally:
        llama.model_free(model)


def _check_causal(llama: Llama, path: Path, model: int) -> None:
    """llama.cpp aborts, with the whole process, where a model of another kind is asked this."""
    arch = _meta(llama, model, "general.architecture")
    causal = _meta(llama, model, f"{arch}.attention.causal") != "false"
    if llama.model_has_encoder(model) or not causal:
        raise UnsupportedError(
            "no-next-token",
            "the model predicts no next token",
            where=str(path),
            reason=f"{arch} sees a text as a whole, so perplexity is not defined",
        )
    if llama.vocab_get_add_eos(llama.model_get_vocab(model)):
        raise UnsupportedError(
            "text-with-end",
            "the model wants an end token after every text",
            where=str(path),
            reason="llama.cpp's perplexity is not defined with tokenizer.ggml.add_eos_token",
        )


def _meta(llama: Llama, model: int, key: str) -> str:
    """A key-value as text, "" where there is none."""
    buffer = ctypes.create_string_buffer(256)
    llama.model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace")


def _refused(llama: Llama, path: Path, what: str) -> UnsupportedError:
    # "function: error loading model: what is wrong"; later complaints follow from the first.
    reason = llama.complaints[0].partition(": ")[2] if llama.complaints else None
    return UnsupportedError(
        "refused-by-llama-cpp",
        f"llama.cpp refuses the file: {what}",
        where=str(path),
        reason=reason and reason.removeprefix("error loading model: "),
        hint="`quantize verify` says whether the file is whole; "
        "a newer xllamacpp may know more architectures",
    )
