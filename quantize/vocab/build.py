"""From tokenizer files to the `tokenizer.*` key-values that llama.cpp's converter would write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from quantize.errors import UnsupportedError
from quantize.formats.kv import KV, KeyValues, boolean
from quantize.registry import Registry
from quantize.vocab.ends import missing_end
from quantize.vocab.files import TokenizerFiles, VocabFiles


@dataclass(frozen=True, slots=True)
class VocabHints:
    """What an architecture knows about its tokenizers.

    loaders: tokenizer models to try, in order; the first whose files are there is taken.
    arch_name: llama.cpp's architecture name; decides between equal names of a pre-tokenizer.
    pre: `--pre`, instead of what the structure of tokenizer.json says.
    before, after: key-values around the loader's; a key that is there already keeps its place.
    by_size: key-values that follow for exactly this many rows of the embedding.
    special: (kind, text or id) of special tokens for kinds that the checkpoint does not name.
    space_prefix: where tokenizer_config.json's add_prefix_space is written, if anywhere.
    token_types: config.json's type_vocab_size, for encoders that have one.
    pad_multiple: the vocabulary is padded to a multiple of this.
    strict_parity: `--strict-parity`, what llama.cpp's converter writes even where it is wrong.
    """

    loaders: tuple[str, ...]
    arch_name: str = ""
    pre: str | None = None
    before: tuple[KV, ...] = ()
    after: tuple[KV, ...] = ()
    by_size: Mapping[int, tuple[KV, ...]] = field(default_factory=dict)
    special: Mapping[str, str | int] = field(default_factory=dict)
    space_prefix: Literal["first", "last"] | None = None
    token_types: int | None = None
    pad_multiple: int = 1
    strict_parity: bool = False


# None: the checkpoint does not hold this kind of tokenizer. `size` is None where the architecture
# does not know the number of tokens.
Loader = Callable[[TokenizerFiles, int | None, VocabHints], list[KV] | None]

LOADERS: Registry[Loader] = Registry(
    "tokenizer model",
    "quantize.vocab",
    {
        "bpe": "bpe:load",
        "bpe-by-flags": "bpe_flags:load",
        "gemma4": "gemma4:load",
        "rwkv": "rwkv:load",
        "spm": "spm:load",
        "spm-arctic": "arctic:load",
        "spm-internlm2": "internlm:load2",
        "spm-internlm3": "internlm:load3",
        "spm-json": "spm_json:load",
        "spm-json-unscored": "spm_json:load_unscored",
        "spm-mistral": "mistral:load",
        "spm-phi": "spm:load_phi",
        "tekken": "tekken:load",
        "t5": "unigram:load_t5",
        "unigram": "unigram:load",
        "wordpiece": "wordpiece:load",
    },
)


def build(files: VocabFiles, vocab_size: int | None, hints: VocabHints) -> KeyValues:
    """All `tokenizer.*` key-values of a checkpoint, in llama.cpp's order.

    `vocab_size`: rows of the embedding; tokens are padded to it.
    Raises UnsupportedError("unknown-tokenizer") when none of the loaders finds its files,
    UnsupportedError("unknown-pre-tokenizer"), and CheckpointError for files that contradict
    themselves or the size.
    """
    cached = TokenizerFiles(files)
    size = vocab_size and -(-vocab_size // hints.pad_multiple) * hints.pad_multiple
    # A SentencePiece vocabulary is the same whatever the architecture is.
    any_pieces = ["spm-json"] if "bpe" in hints.loaders else []
    for name in (*hints.loaders, *any_pieces):
        kvs = LOADERS[name](cached, size, hints)
        if kvs is not None:
            break
    else:
        raise _unknown(cached, hints)
    space = _space_prefix(cached) if hints.space_prefix else []
    first, last = (space, []) if hints.space_prefix == "first" else ([], space)
    after = (*hints.after, *hints.by_size.get(vocab_size or 0, ()))
    found = KeyValues.merged([*hints.before, *first, *kvs, *last, *after])
    return KeyValues.merged([*found, *missing_end(cached, found)])


def _space_prefix(files: TokenizerFiles) -> list[KV]:
    wanted = (files.json("tokenizer_config.json") or {}).get("add_prefix_space")
    if not isinstance(wanted, bool):
        return []
    return [boolean("tokenizer.ggml.add_space_prefix", wanted)]


# What the loaders read, by the beginning of their names.
_FILES = {
    "bpe": ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
    "gemma4": ("tokenizer.json", "tokenizer_config.json"),
    "rwkv": ("rwkv_vocab_v20230424.txt",),
    "spm": ("tokenizer.model", "tokenizer_config.json", "added_tokens.json"),
    "t5": ("tokenizer.json", "spiece.model", "tokenizer_config.json"),
    "tekken": ("tekken.json",),
    "unigram": ("tokenizer.json", "sentencepiece.bpe.model", "tokenizer_config.json"),
    "wordpiece": ("tokenizer.json", "vocab.txt", "tokenizer_config.json"),
}


def _files_of(hints: VocabHints) -> list[str]:
    """The files that the loaders would read."""
    kinds = (loader.partition("-")[0] for loader in hints.loaders)
    return list(dict.fromkeys(name for kind in kinds for name in _FILES[kind]))


def _unknown(files: TokenizerFiles, hints: VocabHints) -> UnsupportedError:
    known = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "tekken.json")
    there = [name for name in known if files.read(name) is not None]
    return UnsupportedError(
        "unknown-tokenizer",
        "the checkpoint has no tokenizer that this architecture can use",
        where=", ".join(there) or "no tokenizer file",
        reason=f"looked for: {', '.join(hints.loaders)}",
        hint="add the original model's tokenizer files, those of these that it has: "
        f"{', '.join(_files_of(hints))}",
    )
