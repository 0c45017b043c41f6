"""Checks of a GGUF file's vocabulary: where it ends, and what is special."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quantize.ollama.doctor.checks.base import Pair, Problem, error, note, warning
from quantize.ollama.modelfile.facts import Facts
from quantize.vocab.doubts import has_equal_scores, normal_in_template
from quantize.vocab.ends import END_TEXTS
from quantize.vocab.pre_table import OUT_OF_REACH, ROWS

_NORMAL, _CONTROL = 1, 3
# Kinds of tokenizers, by llama.cpp's names (src/llama-vocab.cpp).
_MODELS = frozenset({
    "none", "no_vocab", "llama", "bert", "gpt2", "hybriddna", "whitespace", "t5", "rwkv",
    "plamo2", "gemma4",
})  # fmt: skip
# Kind of tokenizer -> what the file may say of how texts are cut.
_SETTINGS: Mapping[str | None, tuple[str, ...]] = {
    "": ("add_bos_token",),
    "llama": ("add_bos_token", "add_space_prefix"),
    "t5": (
        "add_bos_token", "add_space_prefix", "remove_extra_whitespaces", "precompiled_charsmap",
        "unknown_token_id",
    ),
}  # fmt: skip
_END_KINDS = ("eos", "eot", "eom")
_AGAIN = "convert it again with a current converter"


def vocabulary(pair: Pair) -> Iterator[Problem]:
    file = pair.file
    if not file.is_model:
        return
    kind = file.value("tokenizer.ggml.model")
    if kind is None or (kind not in ("none", "no_vocab") and not _tokens(file)):
        yield error("there is no vocabulary: creating works, loading fails", _AGAIN)
    if kind in ("gpt2", "gemma4") and not file.value("tokenizer.ggml.merges"):
        yield error(f"a {kind} vocabulary without merges: creating works, loading fails", _AGAIN)
    if _adds_bos(file) and file.value("tokenizer.ggml.bos_token_id") is None:
        yield warning("texts begin with a BOS, but there is no bos_token_id", _AGAIN)
    if file.value("tokenizer.ggml.add_eos_token") and "eos" not in _ends(file):
        yield warning("texts end with an EOS, but there is no eos_token_id", _AGAIN)
    if kind == "bert" and file.value("tokenizer.ggml.seperator_token_id") is None:
        yield warning("texts end with a separator, but there is no seperator_token_id", _AGAIN)
    settings = _SETTINGS.get(kind, _SETTINGS[""])
    unsaid = [name for name in settings if file.value(f"tokenizer.ggml.{name}") is None]
    if unsaid:
        yield note(f"the file does not say it, so llama.cpp decides: {', '.join(unsaid)}")
    if kind is not None and kind not in _MODELS:
        yield error(f"tokenizer.ggml.model is {kind}, which llama.cpp does not know", _AGAIN)


def _adds_bos(file: Facts) -> bool:
    """llama.cpp puts BOS before the texts of these kinds unless the file says otherwise."""
    says = file.value("tokenizer.ggml.add_bos_token")
    kind = file.value("tokenizer.ggml.model")
    return kind in ("llama", "bert") if says is None else bool(says)


def pre_tokenizer(pair: Pair) -> Iterator[Problem]:
    """Only BPE has one: other kinds of tokenizers do not cut texts into words before."""
    name = pair.file.value("tokenizer.ggml.pre")
    if pair.file.value("tokenizer.ggml.model") != "gpt2" or not pair.file.is_model:
        return
    if name in (None, "", "default"):
        yield warning(
            f"tokenizer.ggml.pre is {'default' if name else 'missing'}: "
            "llama.cpp guesses how to split texts",
            f"{_AGAIN}; if it knows no name for this tokenizer, give one with --pre",
        )
    elif name not in {one for row in ROWS for one in row.names} | OUT_OF_REACH.keys():
        yield error(
            f"tokenizer.ggml.pre is {name}, which llama.cpp does not know: "
            "creating works, loading fails",
            f"{_AGAIN}, or give the name of one that splits texts in the same way with --pre",
        )


def end_ids(pair: Pair) -> Iterator[Problem]:
    """Endless generation: no id at which llama.cpp stops."""
    file = pair.file
    tokens = _tokens(file)
    if not file.is_model or file.is_embedder or not tokens:
        return
    ids = _ends(file)
    for kind, token_id in ids.items():
        if not 0 <= token_id < len(tokens):
            yield error(f"{kind}_token_id is {token_id}, of {len(tokens)} tokens", _AGAIN)
    texts = {tokens[token_id] for token_id in ids.values() if 0 <= token_id < len(tokens)}
    if not ids:
        yield error("no token ends a text: answers may never end", "write eos_token_id")
    elif "eos" not in ids:
        yield warning("there is no eos_token_id: llama.cpp takes another token for it", _AGAIN)
    elif _holds_control(file) and not _ends_turns(file.jinja, texts):
        yield warning(
            "the chat template has control tokens, but none of those that end a text, "
            f"{', '.join(sorted(map(str, texts)))}: answers may never end",
            "give the token that ends a turn as eot_token_id, or as PARAMETER stop",
        )


def _ends_turns(jinja: str, texts: set[str | bytes]) -> bool:
    """llama.cpp also ends at tokens with texts that are known to."""
    known = {text for text in texts if isinstance(text, str)} | END_TEXTS
    return "eos_token" in jinja or any(text in jinja for text in known)


def _holds_control(file: Facts) -> bool:
    """Whether the chat template has tokens of its own, and not just words."""
    types = file.value("tokenizer.ggml.token_type") or ()
    pairs = zip(_tokens(file), types, strict=False)
    return any(
        kind == _CONTROL and isinstance(token, str) and token in file.jinja for token, kind in pairs
    )


def scores(pair: Pair) -> Iterator[Problem]:
    if has_equal_scores(pair.file.kvs):
        yield error(
            "all scores of the vocabulary are equal: texts are cut into other tokens than the "
            "model was trained on",
            "convert it again, without --strict-parity, or with tokenizer.model in its folder",
        )


def token_types(pair: Pair) -> Iterator[Problem]:
    file = pair.file
    tokens = _tokens(file)
    types = file.value("tokenizer.ggml.token_type") or ()
    if not types:
        if tokens and file.is_model:
            yield error("tokenizer.ggml.token_type is missing: answers are empty or wrong", _AGAIN)
        return
    if len(types) != len(tokens):
        yield error(f"{len(types)} token types for {len(tokens)} tokens", _AGAIN)
        return
    for kind, token_id in _ends(file).items():
        if 0 <= token_id < len(tokens) and types[token_id] == _NORMAL:
            yield warning(
                f"{_shown(tokens[token_id])}, the {kind} token, is typed as normal text",
                "type it as control: answers would show it, prompts would not hold it",
            )
    ends = {_shown(tokens[token_id]) for token_id in _ends(file).values() if token_id < len(tokens)}
    normal = [text for text in normal_in_template(file.kvs) if text not in ends]
    if normal:
        yield warning(
            f"tokens of the chat template are typed as normal text: {', '.join(normal)}",
            "type them as control: prompts are made of their letters otherwise",
        )


def _tokens(file: Facts) -> tuple[str | bytes, ...]:
    return file.value("tokenizer.ggml.tokens") or ()


def _ends(file: Facts) -> dict[str, int]:
    """Kind of each end token that the file names, and its id."""
    found = {kind: file.value(f"tokenizer.ggml.{kind}_token_id") for kind in _END_KINDS}
    return {kind: token_id for kind, token_id in found.items() if isinstance(token_id, int)}


def _shown(token: str | bytes) -> str:
    return token if isinstance(token, str) else repr(token)
