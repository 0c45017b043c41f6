"""The parameters that Ollama knows, and how a Modelfile writes each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from quantize.errors import UsageError

Value = int | float | bool | str

_WHOLE = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# As Go's ParseBool has them.
_BOOLS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


def _int(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _float(text: str) -> float:
    if not _REAL.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def _bool(text: str) -> bool:
    if text not in _BOOLS:
        raise ValueError(f"{text!r} is neither true nor false")
    return _BOOLS[text]


PARAMETERS: Mapping[str, Callable[[str], Value]] = {
    "num_ctx": _int,
    "num_keep": _int,
    "num_predict": _int,
    "num_batch": _int,
    "num_gpu": _int,
    "num_thread": _int,
    "main_gpu": _int,
    "draft_num_predict": _int,
    "use_mmap": _bool,
    "seed": _int,
    "top_k": _int,
    "top_p": _float,
    "min_p": _float,
    "typical_p": _float,
    "temperature": _float,
    "repeat_last_n": _int,
    "repeat_penalty": _float,
    "presence_penalty": _float,
    "frequency_penalty": _float,
    "stop": str,
}
# Accepted, and without any effect but a warning on the server.
DEPRECATED = frozenset({
    "penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "mirostat",
    "mirostat_tau", "mirostat_eta",
})  # fmt: skip


def typed(name: str, text: str) -> Value:
    """The value that Ollama makes of a parameter's text.

    Raises KeyError for a name that it does not know, ValueError for a text that it refuses.
    """
    return PARAMETERS[name](text)


def parse_parameter(text: str) -> tuple[str, str]:
    """NAME=VALUE as (name, value). Raises UsageError("bad-parameter")."""
    name, equals, value = text.partition("=")
    if not equals or name not in PARAMETERS:
        raise UsageError(
            "bad-parameter",
            f"{text!r} is not a NAME=VALUE with a parameter of Ollama",
            hint=f"parameters are {', '.join(PARAMETERS)}",
        )
    try:
        typed(name, value)
    except ValueError as error:
        raise UsageError("bad-parameter", f"{name}: {error}") from None
    return name, value
