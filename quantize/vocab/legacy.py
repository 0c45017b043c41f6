"""Tokenizers of checkpoints without a tokenizer.json: what transformers would make of their files.

A slow tokenizer class has its splits in code; this table has them as the tokenizer.json that the
class is saved as.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quantize.vocab.files import TokenizerFiles, bad_file
from quantize.vocab.merges import read_merges
from quantize.vocab.pre_table import QWEN2

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_GPT2 = {**_BYTES, "use_regex": True}
_QWEN2 = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated"},
        _BYTES,
    ],
}

# Tokenizer class -> its pre-tokenizer, and its post-processor where that decides the name.
_CLASSES: dict[str, tuple[Mapping[str, Any], str | None]] = {
    "CodeGenTokenizer": (_GPT2, None),
    "GPT2Tokenizer": (_GPT2, None),
    "Qwen2Tokenizer": (_QWEN2, None),
    "RobertaTokenizer": (_GPT2, "RobertaProcessing"),
}


def bpe_json(files: TokenizerFiles) -> Mapping[str, Any] | None:
    """tokenizer.json, or its like from vocab.json and merges.txt; None if there is neither.

    Raises CheckpointError("bad-tokenizer-file") if the class that vocab.json belongs to is not
    known.
    """
    tokenizer = files.json("tokenizer.json")
    vocab = None if tokenizer is not None else files.json("vocab.json")
    if vocab is None:
        return tokenizer
    name = str((files.json("tokenizer_config.json") or {}).get("tokenizer_class"))
    found = _CLASSES.get(name.removesuffix("Fast"))
    if found is None:
        known = ", ".join(_CLASSES)
        raise bad_file(
            "tokenizer_config.json",
            f"tokenizer_class {json.dumps(name)} does not say how vocab.json is used "
            f"(known: {known}); save the tokenizer as tokenizer.json with transformers",
        )
    pre_tokenizer, post = found
    return {
        "model": {"type": "BPE", "vocab": vocab, "merges": read_merges(files)},
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": post},
        "decoder": _BYTES,
    }
