"""Mistral's tekken.json, for checkpoints without a tokenizer.json: byte-level BPE by rank.

The file lists byte strings by rank, without merges; special tokens come before them. Source
of the rules: mistral_common's Tekkenizer, and llama.cpp's converter for what it writes.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from quantize.formats.kv import KV, array, boolean, string, u32
from quantize.vocab.build import VocabHints
from quantize.vocab.decoding import LETTER_OF_BYTE
from quantize.vocab.files import TokenizerFiles, bad_file, entries, section
from quantize.vocab.special import ID_KEYS
from quantize.vocab.tokens import CONTROL, NORMAL, Tokens, is_id

_FILE = "tekken.json"

# TokenizerFiles older than version 7 do not list their special tokens.
_EARLY_SPECIAL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
)  # fmt: skip

# Templates that llama.cpp knows by name, by the version in the file.
_TEMPLATES = {"v3": "mistral-v3-tekken", "v7": "mistral-v7-tekken"}

_KINDS = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>"}


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    data = files.json(_FILE)
    if data is None or files.read("tokenizer.json") is not None:
        return None
    config = section(data, "config")
    special, count = _special(data, config), config.get("default_vocab_size")
    if not isinstance(count, int) or count <= len(special):
        raise bad_file(_FILE, f"default_vocab_size is {count!r}")
    ranks = _ranks(data, count - len(special))
    tokens = Tokens(max(size or 0, count))
    for token_id, text in enumerate(special):
        tokens.set(token_id, text, CONTROL)
    for piece, rank in ranks.items():
        tokens.set(len(special) + rank, _letters(piece), NORMAL)
    ids = {kind: special.index(text) for kind, text in _KINDS.items() if text in special}
    ids.setdefault("pad", ids.get("eos", 0))
    model, *rest = tokens.kvs("gpt2", hints.pre or "tekken", scores=True)
    pre, *rest = rest
    template = files.text("chat_template.jinja") or _TEMPLATES.get(str(config.get("version")))
    return [
        model,
        pre,
        array("tokenizer.ggml.merges", "STRING", _merges(ranks)),
        *(u32(ID_KEYS[kind], token_id) for kind, token_id in ids.items()),
        *rest,
        boolean("tokenizer.ggml.add_bos_token", value=True),
        boolean("tokenizer.ggml.add_eos_token", value=False),
        *([string("tokenizer.chat_template", template)] if template else []),
    ]


def _special(data: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    count = config.get("default_num_special_tokens")
    if not isinstance(count, int) or not is_id(count):
        raise bad_file(_FILE, f"default_num_special_tokens is {count!r}")
    texts = [str(token.get("token_str")) for token in entries(data, "special_tokens")]
    texts = texts or list(_EARLY_SPECIAL)
    return texts + [f"<SPECIAL_{number}>" for number in range(len(texts), count)]


def _ranks(data: Mapping[str, Any], count: int) -> dict[bytes, int]:
    listed = entries(data, "vocab")[:count]
    try:
        ranks = {b64decode(entry["token_bytes"]): rank for rank, entry in enumerate(listed)}
    except (KeyError, TypeError, ValueError) as error:
        raise bad_file(_FILE, f"a token is damaged: {error!r}") from None
    if len(ranks) != count or list(ranks)[:256] != [bytes([byte]) for byte in range(256)]:
        raise bad_file(_FILE, f"it does not hold {count} different tokens, the 256 bytes first")
    return ranks


def _merges(ranks: Mapping[bytes, int]) -> list[str]:
    """All ways to join a token from two others, the lowest ranks first."""
    merges: list[str] = []
    for piece in list(ranks)[256:]:
        halves = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        found = [pair for pair in halves if pair[0] in ranks and pair[1] in ranks]
        if not found:
            raise bad_file(_FILE, f"no two tokens make {piece!r}")
        found.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        merges += [f"{_letters(left)} {_letters(right)}" for left, right in found]
    return merges


def _letters(piece: bytes) -> str:
    return "".join(LETTER_OF_BYTE[byte] for byte in piece)
