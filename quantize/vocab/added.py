"""Added tokens as the tokenizers library sees them once transformers has loaded a checkpoint.

tokenizer.json names them; `added_tokens_decoder` of tokenizer_config.json, where there is one,
overrules their flags; and whatever a checkpoint names as BOS, EOS and so on is special.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantize.vocab.files import TokenizerFiles, bad_file, entries, section
from quantize.vocab.special import KINDS, token_text
from quantize.vocab.tokens import duplicate_id, is_id, token_table

# Special tokens that the tokenizer classes of transformers assume when tokenizer_config.json does
# not mention the kind at all.
_CLASS_DEFAULTS = {
    "BertTokenizer": {
        "unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]",
    },
    "CodeGenTokenizer": dict.fromkeys(("bos", "eos", "unk"), "<|endoftext|>"),
    "GemmaTokenizer": {"bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "pad": "<pad>"},
    "GPT2Tokenizer": dict.fromkeys(("bos", "eos", "unk"), "<|endoftext|>"),
    "LlamaTokenizer": {"bos": "<s>", "eos": "</s>", "unk": "<unk>"},
    "Qwen2Tokenizer": dict.fromkeys(("eos", "unk", "pad"), "<|endoftext|>"),
    "RobertaTokenizer": {
        "bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>", "pad": "<pad>",
        "mask": "<mask>",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Added:
    """One added token: whether it is special, and whether it is matched in normalized text."""

    text: str
    special: bool
    normalized: bool


def added_tokens(files: TokenizerFiles, vocab: Mapping[str, int]) -> dict[int, Added]:
    """All added tokens by id; `vocab` is the model's own table, which knows some of them.

    Raises CheckpointError("bad-tokenizer-file") for an entry without text or id and
    CheckpointError("duplicate-token-id") where two texts claim one id.
    """
    tokenizer = files.json("tokenizer.json") or {}
    config = files.json("tokenizer_config.json") or {}
    specials = special_texts(files)
    ids: dict[str, int] = {}
    found: dict[int, Added] = {}
    for known, known_id in () if tokenizer else _without_json(files, vocab, specials):
        flags = {"content": known, "special": known in specials}
        _put(found, ids, "added_tokens.json", known_id, flags)
    for entry in entries(tokenizer, "added_tokens"):
        text, token_id = token_text(entry), entry.get("id")
        if text is None or not isinstance(token_id, int) or not is_id(token_id):
            raise bad_file("tokenizer.json", f"{dict(entry)!r} is not an added token")
        _put(found, ids, "tokenizer.json", vocab.get(text, token_id), entry)
    for key, entry in section(config, "added_tokens_decoder").items():
        text = token_text(entry)
        if text is None or not isinstance(entry, dict) or not key.isdecimal():
            raise bad_file("tokenizer_config.json", f"{key}: {entry!r} is not an added token")
        flags = {**entry, "special": bool(entry.get("special")) or text in specials}
        token_id = vocab.get(text, ids.get(text, int(key)))
        _put(found, ids, "tokenizer_config.json", token_id, flags)
    return found


def _without_json(
    files: TokenizerFiles, vocab: Mapping[str, int], specials: frozenset[str]
) -> list[tuple[str, int]]:
    """Added tokens of a checkpoint without a tokenizer.json, from whatever else it has."""
    listed = files.json("added_tokens.json")
    added = token_table(listed, "added_tokens.json") if listed else {}
    return list({**{text: vocab[text] for text in vocab if text in specials}, **added}.items())


def special_texts(files: TokenizerFiles) -> frozenset[str]:
    """The texts that the checkpoint names as BOS, EOS, ..., or as additional special tokens."""
    config = files.json("tokenizer_config.json") or {}
    class_name = str(config.get("tokenizer_class")).removesuffix("Fast")
    named: dict[str, Any] = {
        f"{kind}_token": text for kind, text in _CLASS_DEFAULTS.get(class_name, {}).items()
    }
    named.update(config)
    if "added_tokens_decoder" not in config:
        named.update(files.json("special_tokens_map.json") or {})
    texts = [token_text(named.get(f"{kind}_token")) for kind in KINDS]
    more = named.get("additional_special_tokens")
    texts += [token_text(entry) for entry in more] if isinstance(more, list) else []
    return frozenset(text for text in texts if text)


def _put(
    found: dict[int, Added],
    ids: dict[str, int],
    where: str,
    token_id: int,
    entry: Mapping[str, Any],
) -> None:
    text = entry["content"]
    special = bool(entry.get("special"))
    token = Added(text, special, bool(entry.get("normalized", not special)))
    if token_id in found and found[token_id].text != text:
        raise duplicate_id(where, token_id, found[token_id].text, text)
    found[token_id] = token
    ids[text] = token_id
