"""Which ids are BOS, EOS and so on, and what llama.cpp is to put around a text.

llama.cpp's converter takes ids from tokenizer_config.json (token texts, looked up among the added
tokens of tokenizer.json), then from config.json (ids); the first to name a kind wins. Whether BOS,
EOS and SEP are added follows from the post-processor of tokenizer.json, else from the
`add_*_token` of tokenizer_config.json. Source of all rules: gguf-py/gguf/vocab.py, SpecialVocab.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quantize.formats.kv import KV, array, boolean, u32
from quantize.vocab.chat import ChatTemplate, chat_template, template_kvs
from quantize.vocab.files import TokenizerFiles, entries, section
from quantize.vocab.merges import read_merges
from quantize.vocab.tokens import MAX_VOCAB, is_id

KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

# Kinds without a row (cls) decide about others but have no key of their own.
ID_KEYS = {
    "bos": "tokenizer.ggml.bos_token_id",
    "eos": "tokenizer.ggml.eos_token_id",
    "eot": "tokenizer.ggml.eot_token_id",
    "eom": "tokenizer.ggml.eom_token_id",
    "unk": "tokenizer.ggml.unknown_token_id",
    "sep": "tokenizer.ggml.seperator_token_id",
    "pad": "tokenizer.ggml.padding_token_id",
    "mask": "tokenizer.ggml.mask_token_id",
}
ADD_KEYS = {
    "bos": "tokenizer.ggml.add_bos_token",
    "eos": "tokenizer.ggml.add_eos_token",
    "sep": "tokenizer.ggml.add_sep_token",
}


@dataclass(slots=True)
class Special:
    """What the checkpoint says; a loader may add to it before asking for the key-values."""

    ids: dict[str, int] = field(default_factory=dict)
    adds: dict[str, bool] = field(default_factory=dict)
    merges: list[str] = field(default_factory=list)
    template: ChatTemplate | None = None
    flags: dict[str, bool] = field(default_factory=dict)

    def name(self, kind: str, token_id: object, size: int | None = None) -> None:
        """Give `kind` an id unless it has one; ids outside the vocabulary name nothing."""
        if isinstance(token_id, int) and is_id(token_id) and token_id < (size or MAX_VOCAB):
            self.ids.setdefault(kind, token_id)

    def kvs(self) -> list[KV]:
        kvs = [array("tokenizer.ggml.merges", "STRING", self.merges)] if self.merges else []
        kvs += [u32(ID_KEYS[kind], value) for kind, value in self.ids.items() if kind in ID_KEYS]
        kvs += [boolean(ADD_KEYS[kind], on) for kind, on in self.adds.items() if kind in ADD_KEYS]
        kvs += template_kvs(self.template)
        kvs += [boolean(f"tokenizer.ggml.normalizer.{key}", on) for key, on in self.flags.items()]
        return kvs


def read_special(
    files: TokenizerFiles, *, size: int | None = None, merges: bool = False
) -> Special:
    """Special tokens, chat templates and, on request, merges of a checkpoint.

    `size`: ids from `size` on are ignored (None: all are taken).
    """
    special = Special(merges=read_merges(files) if merges else [])
    tokenizer = files.json("tokenizer.json") or {}
    config = dict(files.json("tokenizer_config.json") or {})
    _read_normalizer(section(tokenizer, "normalizer"), special.flags)
    kinds: tuple[str, ...] = KINDS
    if tokenizer:
        reader = _PostProcessor(config, special.adds)
        reader.read(section(tokenizer, "post_processor"))
        kinds += tuple(reader.extra_kinds)
    if config:
        special.template = chat_template(files, config)
        # The first of several added tokens with one text counts.
        added = reversed(entries(tokenizer, "added_tokens"))
        ids = {token_text(token): token.get("id") for token in added}
        for kind in kinds:
            add = config.get(f"add_{kind}_token")
            if isinstance(add, bool):
                special.adds.setdefault(kind, add)
            text = token_text(config.get(f"{kind}_token"))
            special.name(kind, None if text is None else ids.get(text), size)
    hparams = files.json("config.json") or {}
    for kind in kinds:
        key = f"{kind}_token_id"
        token_id = hparams.get(key)
        if token_id is None:
            token_id = section(hparams, "text_config").get(key)
        special.name(kind, token_id, size)
    return special


def token_text(entry: object) -> str | None:
    """The text of a token, written as a string or as an AddedToken object."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None


def _read_normalizer(normalizer: Any, flags: dict[str, bool]) -> None:
    match normalizer.get("type"):
        case "Lowercase":
            flags["lowercase"] = True
        case "StripAccents":
            flags["strip_accents"] = True
        case "BertNormalizer":
            for key in ("lowercase", "strip_accents"):
                if isinstance(normalizer.get(key), bool):
                    flags[key] = normalizer[key]
        case "Sequence":
            for part in entries(normalizer, "normalizers"):
                _read_normalizer(part, flags)


class _PostProcessor:
    """Reads from the post-processor which special tokens are around a text.

    Changes `adds`, and the names in `config` where the template knows better; `extra_kinds` are
    kinds that an overruled EOS moved to.
    """

    def __init__(self, config: dict[str, Any], adds: dict[str, bool]) -> None:
        self.config = config
        self.adds = adds
        self.extra_kinds: list[str] = []
        self.bos, self.cls = config.get("bos_token"), config.get("cls_token")
        self.eos, self.sep = config.get("eos_token"), config.get("sep_token")
        if config and not self.bos and self.cls:
            self.bos = config["bos_token"] = self.cls
        if config and not self.eos and self.sep:
            self.eos = config["eos_token"] = self.sep

    def read(self, post: Any) -> None:
        for processor in entries(post, "processors") if "processors" in post else [post]:
            match processor.get("type"):
                case "ByteLevel":
                    self.adds.setdefault("bos", False)
                    self.adds.setdefault("eos", False)
                case "RobertaProcessing":
                    self._roberta(processor)
                case "TemplateProcessing":
                    self._template(processor)

    def _roberta(self, processor: Any) -> None:
        self.adds.update(bos=True, eos=True, sep=True)
        if self.config and not self.cls:
            self.cls = self.config["cls_token"] = _head(processor.get("cls"), self.bos)
        if self.config and not self.sep:
            self.sep = self.config["sep_token"] = _head(processor.get("sep"), self.eos)

    def _template(self, processor: Any) -> None:
        single, pair = entries(processor, "single"), entries(processor, "pair")
        first = _piece(single[0], "SpecialToken") if len(single) > 1 else None
        last = _piece(single[-1], "SpecialToken") if len(single) > 1 else None
        if first:
            self._leading(first)
        if last:
            self._trailing(last)
        if pair and first and _piece(pair[0], "SpecialToken") == first:
            pair = pair[1:]
        if pair and last and _piece(pair[-1], "SpecialToken") == last:
            pair = pair[:-1]
        ends = [_piece(piece, "Sequence") for piece in (pair[:1] + pair[-1:])]
        if ends == ["A", "B"] and len(pair) > 2:
            self._between(pair[1:-1], last)

    def _leading(self, first: str) -> None:
        if not self.config:
            self.bos = first
        elif first not in (self.bos, self.cls):
            if not self.bos:
                self.bos = self.config["bos_token"] = first
            if not self.cls:
                self.cls = self.config["cls_token"] = first
        self.adds["bos"] = first in (self.bos, self.cls)

    def _trailing(self, last: str) -> None:
        if self.config and last != self.eos:
            free = next((kind for kind in ("eot", "eom") if kind not in self.extra_kinds), None)
            if free:
                self.extra_kinds.append(free)
                self.config[f"{free}_token"] = self.eos
            self.config["eos_token"] = last
        self.eos = last
        self.adds["eos"] = True

    def _between(self, middle: list[Any], last: str | None) -> None:
        marks = [_piece(piece, "SpecialToken") for piece in middle]
        separators = [mark is not None and mark in (self.sep, self.eos) for mark in marks]
        # One EOS between the parts ends the first of them; a second one is a separator.
        add = (separators[0] and not last) or (len(marks) == 2 and separators[1])
        self.adds["sep"] = add
        if add and not self.sep and self.config:
            self.config["sep_token"] = self.eos


def _piece(piece: Any, kind: str) -> str | None:
    found = section(piece, kind).get("id")
    return found if isinstance(found, str) else None


def _head(pair: Any, default: Any) -> Any:
    return pair[0] if isinstance(pair, list) and pair else default
