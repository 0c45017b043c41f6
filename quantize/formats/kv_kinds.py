"""Which types the key-values have that quantize takes numbers and texts from.

Writers differ in the width of numbers, and llama.cpp reads any; a text where a number belongs is
none that could be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from quantize.errors import CheckpointError
from quantize.formats.kv import KV

_WHOLE = r"U?INT\d+"
_LIST_OF_WHOLE = rf"ARRAY\[{_WHOLE}\]"
_ARCH = r"[\w-]+\."
# Keys and their types, as patterns.
_KINDS = {
    r"general\.(architecture|name|type)": "STRING",
    r"general\.(alignment|file_type|quantization_version)": _WHOLE,
    r"tokenizer\.ggml\.(model|pre)|tokenizer\.chat_template": "STRING",
    r"tokenizer\.ggml\.(tokens|merges)": r"ARRAY\[STRING\]",
    r"tokenizer\.ggml\.scores": r"ARRAY\[FLOAT(32|64)\]",
    r"tokenizer\.ggml\.token_type": _LIST_OF_WHOLE,
    r"tokenizer\.ggml\.\w+_token_id": _WHOLE,
    r"tokenizer\.ggml\.add_\w+": "BOOL",
    rf"{_ARCH}(block_count|context_length|embedding_length|vocab_size)": _WHOLE,
    rf"{_ARCH}nextn_predict_layers": _WHOLE,
    rf"{_ARCH}(expert_count|expert_used_count|pooling_type)": rf"{_WHOLE}|{_LIST_OF_WHOLE}",
    rf"{_ARCH}attention\.(head_count|head_count_kv|key_length|value_length)": (
        rf"{_WHOLE}|{_LIST_OF_WHOLE}"
    ),
    rf"{_ARCH}feed_forward_length": rf"{_WHOLE}|{_LIST_OF_WHOLE}",
    rf"{_ARCH}attention\.layer_norm(_rms)?_epsilon": r"FLOAT(32|64)",
}
_PATTERNS = [(re.compile(name), re.compile(kind)) for name, kind in _KINDS.items()]


def check_kinds(kvs: Iterable[KV], where: str) -> None:
    """Raise CheckpointError for a known key whose value is of a type that makes no sense."""
    for kv in kvs:
        kind = _kind_of(kv.key)
        if kind is not None and not kind.fullmatch(kv.type):
            raise CheckpointError(
                "bad-key-value",
                f"{kv.key} is of type {kv.type.lower()}",
                where=where,
                reason="no reader of GGUF files takes such a value for it",
                hint="convert the checkpoint that the file was made from",
            )


@cache
def _kind_of(key: str) -> re.Pattern[str] | None:
    return next((kind for name, kind in _PATTERNS if name.fullmatch(key)), None)
