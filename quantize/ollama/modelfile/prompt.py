"""How Ollama is to make a model's prompts: what the Modelfile says about it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from quantize.formats.kv import KeyValues
from quantize.ollama.quoting import is_representable, quoted
from quantize.ollama.templates import capabilities
from quantize.ollama.templates.confined import translate_confined
from quantize.ollama.templates.go_trim import with_exact_trims
from quantize.ollama.templates.hijack import may_be_taken_for
from quantize.ollama.templates.translate import ChatTemplate, Translation
from quantize.ollama.templates.turns import NO_TURNS, Turns, turns_of
from quantize.vocab.tokens import CONTROL, USER_DEFINED


class Renderer(NamedTuple):
    """Code of Ollama's own that makes and parses prompts, and the stop it wants.

    `mark` is what closes the turns that it writes.
    """

    name: str
    mark: str
    stop: str | None = None


_NEMOTRON = Renderer("nemotron-3-nano", "<|im_end|>")
# Architectures with a renderer: Ollama uses it whatever the Modelfile's TEMPLATE says.
FORCED_RENDERERS: Mapping[str, Renderer] = {
    "gemma4": Renderer("gemma4", "<turn|>", "<turn|>"),
    "laguna": Renderer("laguna", "</assistant>"),
    "nemotron_h": _NEMOTRON,
    "nemotron_h_moe": _NEMOTRON,
    "nemotron_h_omni": _NEMOTRON,
}
# Architectures whose prompts are in the harmony format. With a TEMPLATE of theirs Ollama would use
# it, whatever the Jinja can do besides.
HARMONY = frozenset({"gptoss", "gpt-oss"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """`template` and `renderer` (also the parser's name) are for Ollama, `notes` for people.

    `stop` is what the renderer needs; `turns` are those of the chat template; `warning` is what
    somebody has to know before the model is used.
    """

    notes: tuple[str, ...]
    template: str | None = None
    renderer: str | None = None
    stop: str | None = None
    turns: Turns = NO_TURNS
    warning: str | None = None

    def lines(self) -> list[str]:
        """Lines of a Modelfile."""
        said = self.notes if self.warning is None else (*self.notes, self.warning)
        lines = [f"# {note}" for note in said]
        if self.renderer:
            lines += [f"RENDERER {self.renderer}", f"PARSER {self.renderer}"]
        if self.template is not None:
            lines.append(f"TEMPLATE {quoted(self.template)}")
        return lines


_SHORT_TRIM = "It trims spaces, tabs and line breaks; --exact-template trims other white space too."

# llama.cpp puts BOS before a prompt for these tokenizer models, and for these pre-tokenizers,
# unless the file says otherwise.
_ADD_BOS_MODELS = frozenset({"llama", "bert"})
_ADD_BOS_PRES = frozenset(
    {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}
    | {"jina-v5-nano", "tekken", "chameleon"}
)


def source_of(kvs: KeyValues) -> ChatTemplate | None:
    """The chat template of a GGUF file, if it has one, and what the tokenizer says about it."""
    jinja = kvs.value("tokenizer.chat_template")
    if jinja is None:
        return None
    adds_bos = kvs.value("tokenizer.ggml.add_bos_token")
    if adds_bos is None:
        adds_bos = (
            kvs.value("tokenizer.ggml.model") in _ADD_BOS_MODELS
            or kvs.value("tokenizer.ggml.pre") in _ADD_BOS_PRES
        )
    tokens = kvs.value("tokenizer.ggml.tokens") or ()
    bos, eos = (
        _token(tokens, kvs.value(f"tokenizer.ggml.{name}_token_id")) for name in ("bos", "eos")
    )
    return ChatTemplate(str(jinja), bos, eos, bool(adds_bos))


def _token(tokens: Sequence[str | bytes], token_id: int | None) -> str:
    if token_id is None or not 0 <= token_id < len(tokens):
        return ""
    text = tokens[token_id]
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def special_tokens(kvs: KeyValues) -> frozenset[str]:
    """The tokens of a GGUF file that are not ordinary text."""
    types = kvs.value("tokenizer.ggml.token_type") or ()
    tokens = kvs.value("tokenizer.ggml.tokens") or ()
    return frozenset(
        _token(tokens, token_id)
        for token_id, kind in enumerate(types)
        if kind in (CONTROL, USER_DEFINED)
    )


def prompt_of(
    arch: str,
    source: ChatTemplate,
    specials: frozenset[str] = frozenset(),
    *,
    is_exact: bool = False,
) -> Prompt:
    """What to say for a model of a GGUF architecture with this chat template.

    `specials` are the tokens of the vocabulary that are not ordinary text. `is_exact`: a TEMPLATE
    trims every kind of white space.
    """
    translation = translate_confined(source, is_exact=is_exact)
    turns = turns_of(translation.glues, specials, source.bos)
    return replace(_prompt(arch, source, translation), turns=turns)


def _prompt(arch: str, source: ChatTemplate, translation: Translation) -> Prompt:
    if arch in FORCED_RENDERERS:
        forced = FORCED_RENDERERS[arch]
        note = f"Ollama has its own code for the prompts of {arch}."
        warning = foreign_turns(arch, source.jinja)
        return Prompt((note,), renderer=forced.name, stop=forced.stop, warning=warning)
    template, level = translation.template, translation.level
    if template is None or level is None or not is_representable(template):
        return _untranslated(source, translation)
    jinja, go = capabilities.of_jinja(source.jinja), capabilities.of_go(template)
    proven = f"TEMPLATE is proven to write what the model's own Jinja writes: {level}."
    trims = (_SHORT_TRIM,) if with_exact_trims(template) != template else ()
    if jinja.number <= go.number:
        return Prompt((proven, *trims), template)
    if arch not in HARMONY and capabilities.prefers_jinja(jinja, go):
        more = "The Jinja can do more, so Ollama uses it and leaves TEMPLATE to older versions."
        return Prompt((proven, more, *trims), template)
    return Prompt(
        (
            "No TEMPLATE: Ollama uses the chat template inside the GGUF file.",
            f"It can do more than the part that is proven to be translated: {level}.",
        )
    )


def foreign_turns(arch: str, jinja: str) -> str | None:
    """What is to be said if Ollama's own code writes other turns than the chat template."""
    forced = FORCED_RENDERERS.get(arch)
    if forced is None or not jinja or forced.mark in jinja:
        return None
    return (
        f"Ollama writes the turns of {arch} with {forced.mark}, which the model's chat template "
        "does not have: chats in Ollama are not what it was trained on."
    )


def _untranslated(source: ChatTemplate, translation: Translation) -> Prompt:
    notes = [
        "No TEMPLATE: Ollama uses the chat template inside the GGUF file.",
        f"Its translation is not proven: {_one_line(translation.reason)}.",
    ]
    known = may_be_taken_for(source.jinja)
    if known is not None and capabilities.of_jinja(source.jinja).number == 0:
        notes += [
            f"It resembles one that Ollama knows as {known}, and Ollama may use that instead:",
            "compare `ollama show --template` with the Jinja, and set OLLAMA_GO_TEMPLATE=false",
            "for the server if they differ.",
        ]
    return Prompt(tuple(notes))


def _one_line(text: str) -> str:
    """The reason for the last attempt, that of plain chat, as a comment can hold it."""
    last = text.rpartition("; ")[2]
    return "".join(c if c.isprintable() else " " for c in last)[:200]
