"""Where a model ends its turn: what llama.cpp stops at by itself, and what it has to be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from quantize.formats.kv import KV, u32
from quantize.vocab.files import Files, VocabFiles
from quantize.vocab.special import ID_KEYS
from quantize.vocab.tokens import is_id

# Texts at which llama.cpp ends whatever the metadata says (src/llama-vocab.cpp).
END_TEXTS = frozenset({
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~[",
})  # fmt: skip

_END_KINDS = ("eos", "eot", "eom")


def end_tokens(files: VocabFiles, kvs: Iterable[KV]) -> list[str]:
    """Texts of all tokens that end a turn: EOS, EOT, EOM, then those of generation_config.json."""
    found = {kv.key: kv.value for kv in kvs}
    texts = found.get("tokenizer.ggml.tokens", ())
    ids = [found[ID_KEYS[kind]] for kind in _END_KINDS if ID_KEYS[kind] in found]
    ids += _generation_ends(Files(files))
    return list(dict.fromkeys(_text(texts, token_id) for token_id in ids if token_id < len(texts)))


def missing_end(files: Files, kvs: Sequence[KV]) -> list[KV]:
    """EOT for a model that llama.cpp could not stop: none of its end tokens is one it knows.

    Where llama.cpp ends at one of them, the others are left to the Modelfile's stops, so that the
    keys stay those of llama.cpp's converter.
    """
    found = {kv.key: kv.value for kv in kvs}
    texts = found.get("tokenizer.ggml.tokens", ())
    ends = [token_id for token_id in _generation_ends(files) if token_id < len(texts)]
    known = {found.get(ID_KEYS[kind]) for kind in _END_KINDS}
    if any(token_id in known or _text(texts, token_id) in END_TEXTS for token_id in ends):
        return []
    free = next((kind for kind in ("eot", "eom") if ID_KEYS[kind] not in found), None)
    return [u32(ID_KEYS[free], ends[0])] if ends and free else []


def _generation_ends(files: Files) -> list[int]:
    ends: Any = (files.json("generation_config.json") or {}).get("eos_token_id")
    return [end for end in (ends if isinstance(ends, list) else [ends]) if is_id(end)]


def _text(texts: Sequence[str | bytes], token_id: int) -> str:
    text = texts[token_id]
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
