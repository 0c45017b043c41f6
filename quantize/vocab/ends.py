"""Where a model ends its turn: what llama.cpp stops at by itself, and what it has to be given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantize.formats.kv import KV, KeyValues, u32
from quantize.vocab.files import TokenizerFiles, VocabFiles, section
from quantize.vocab.special import ID_KEYS, token_text
from quantize.vocab.tokens import CONTROL, NORMAL, USER_DEFINED, is_id

# Texts at which llama.cpp ends whatever the metadata says (src/llama-vocab.cpp).
END_TEXTS = frozenset({
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~[",
})  # fmt: skip

_MARK = re.compile(r"<.+>|\[.+\]")
_END_KINDS = ("eos", "eot", "eom")
_GENERATION_CONFIG = "generation_config.json"
# Files that name EOS by its text.
_WITH_TEXTS = ("tokenizer_config.json", "special_tokens_map.json")


def end_tokens(files: VocabFiles, kvs: KeyValues) -> dict[str, tuple[str, ...]]:
    """Text of every token that ends a turn -> what says so: files of the checkpoint, or GGUF keys.

    EOS, EOT and EOM of the key-values come first. A key is only named where no file says the same.
    """
    texts = kvs.value("tokenizer.ggml.tokens", ())
    keys: dict[str, str] = {}
    for key in (ID_KEYS[kind] for kind in _END_KINDS):
        token_id: Any = kvs.value(key)
        if is_id(token_id) and token_id < len(texts):
            keys.setdefault(_text(texts, token_id), key)
    said: dict[str, list[str]] = {text: [] for text in keys}
    types = kvs.value("tokenizer.ggml.token_type", ())
    opened = TokenizerFiles(files)
    unknown = token_text((opened.json("tokenizer_config.json") or {}).get("unk_token"))
    for name, token_id in _said_by_files(opened, texts):
        text = _text(texts, token_id)
        # An id that is left over from another vocabulary is ordinary text here, or UNK.
        is_end = text in END_TEXTS or (text != unknown and _is_mark(text, types, token_id))
        if text in keys or is_end:
            names = said.setdefault(text, [])
            names += [] if name in names else [name]
    return {text: tuple(names or [keys[text]]) for text, names in said.items()}


def _is_mark(text: str, types: Sequence[int], token_id: int) -> bool:
    kind = types[token_id] if token_id < len(types) else NORMAL
    return kind in (CONTROL, USER_DEFINED) or (kind == NORMAL and bool(_MARK.fullmatch(text)))


def _said_by_files(
    files: TokenizerFiles, texts: Sequence[str | bytes]
) -> Iterator[tuple[str, int]]:
    """(file, id) for every EOS that a file of the checkpoint names, if there is such a token."""
    for name in _WITH_TEXTS:
        text = token_text((files.json(name) or {}).get("eos_token"))
        wanted = () if text is None else (text, text.encode())
        yield from ((name, token_id) for token_id, one in enumerate(texts) if one in wanted)
    config = files.json("config.json") or {}
    for name, ids in (
        ("config.json", _ids(config) + _ids(section(config, "text_config"))),
        (_GENERATION_CONFIG, _generation_ends(files)),
    ):
        yield from ((name, token_id) for token_id in ids if token_id < len(texts))


def missing_end(files: TokenizerFiles, kvs: KeyValues) -> list[KV]:
    """EOT for a model that llama.cpp could not stop: none of its end tokens is one it knows.

    Where llama.cpp ends at one of them, the others are left to the Modelfile's stops, so that the
    keys stay those of llama.cpp's converter.
    """
    texts = kvs.value("tokenizer.ggml.tokens", ())
    ends = [token_id for token_id in _generation_ends(files) if token_id < len(texts)]
    known = {kvs.value(ID_KEYS[kind]) for kind in _END_KINDS}
    if any(token_id in known or _text(texts, token_id) in END_TEXTS for token_id in ends):
        return []
    free = next((kind for kind in ("eot", "eom") if kvs.find(ID_KEYS[kind]) is None), None)
    return [u32(ID_KEYS[free], ends[0])] if ends and free else []


def _generation_ends(files: TokenizerFiles) -> list[int]:
    return _ids(files.json(_GENERATION_CONFIG) or {})


def _ids(config: Mapping[str, Any]) -> list[int]:
    """One id, or a list of them."""
    ends: Any = config.get("eos_token_id")
    return [end for end in (ends if isinstance(ends, list) else [ends]) if is_id(end)]


def _text(texts: Sequence[str | bytes], token_id: int) -> str:
    text = texts[token_id]
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
