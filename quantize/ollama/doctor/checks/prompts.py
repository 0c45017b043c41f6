"""Checks of whose template makes the prompts, and what it can do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quantize.ollama.doctor.checks.base import Pair, Problem, error, note, warning
from quantize.ollama.modelfile.facts import Facts
from quantize.ollama.modelfile.prompt import HARMONY, foreign_turns
from quantize.ollama.modelfile.reading import Modelfile
from quantize.ollama.server.serving import PARSERS, RENDERERS, uses_jinja
from quantize.ollama.templates import capabilities
from quantize.ollama.templates.hijack import may_be_taken_for

# Tokens between the turns of a chat; a model that only completes has none of them.
_TURN_TOKENS = frozenset({"<|im_end|>", "<|eot_id|>", "<|eot|>", "<end_of_turn>", "<turn|>"})
_WITH_TOOLS = "tokenizer.chat_template.tool_use"
_BEGIN = re.compile(r"\{\{-?.*?-?\}\}|\s+", re.DOTALL)
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_FIELD = re.compile(r"\.([A-Za-z_]\w*)")
# All names that a Go template of Ollama may ask for (template/template.go and api/types.go).
_FIELDS = frozenset({
    "System", "Messages", "Tools", "Prompt", "Response", "Suffix", "Think", "ThinkLevel",
    "IsThinkSet", "Role", "Content", "Thinking", "Images", "ToolCalls", "ToolName", "ToolCallID",
    "ID", "Function", "Index", "Name", "Arguments", "Type", "Items", "Description", "Parameters",
    "Required", "Defs", "Properties", "Enum", "AnyOf",
})  # fmt: skip


def chat_template(pair: Pair) -> Iterator[Problem]:
    """No tools and no prompt format: the chat template was not put into the file."""
    file = pair.file
    has_template = pair.modelfile is not None and (
        pair.modelfile.last("template") or pair.modelfile.last("renderer")
    )
    if file.is_embedder or not file.is_model or has_template:
        return
    if file.jinja:
        if file.value(_WITH_TOOLS) and not capabilities.of_jinja(file.jinja).tools:
            yield note(f"Ollama does not read {_WITH_TOOLS}, so the model has no tools there")
        return
    found = _TURN_TOKENS & set(file.value("tokenizer.ggml.tokens") or ())
    if found:
        yield warning(
            f"there is no chat template, but tokens of one: {', '.join(sorted(found))}",
            "unless it is a base model, convert it again with chat_template.jinja in its folder",
        )


def jinja(pair: Pair) -> Iterator[Problem]:
    if pair.translation is not None and "no valid Jinja" in pair.translation.reason:
        yield error(
            f"the chat template cannot be loaded: {pair.translation.reason}",
            "put a chat template that works into the checkpoint, and convert it again",
        )
    elif pair.translation is not None and pair.translation.is_given_up:
        yield error(
            f"the chat template cannot be used: {pair.translation.reason}",
            "do not use it on a server: whoever chats may be kept waiting for ever",
        )


def refuses(pair: Pair) -> Iterator[Problem]:
    """A chat template that raises an exception for whatever is said."""
    translation, modelfile = pair.translation, pair.modelfile
    replaced = modelfile is not None and (modelfile.last("template") or modelfile.last("renderer"))
    if translation is None or translation.is_given_up or translation.glues or replaced:
        return
    if "no valid Jinja" not in translation.reason:
        reason = translation.reason.rpartition("; ")[2]
        yield error(
            f"the chat template refuses every chat: {reason}",
            "put a chat template that works into the checkpoint, and convert it again",
        )


def hijack(pair: Pair) -> Iterator[Problem]:
    file, modelfile = pair.file, pair.modelfile
    if not file.jinja or file.is_embedder:
        return
    if modelfile is not None and (modelfile.last("template") or modelfile.last("renderer")):
        return
    known = may_be_taken_for(file.jinja)
    if known is None or capabilities.of_jinja(file.jinja).number:
        return
    yield warning(
        f"Ollama may take the chat template for {known}, which it knows, and use that instead",
        "give a TEMPLATE, or set OLLAMA_GO_TEMPLATE=false for the server",
    )


def tools_lost(pair: Pair) -> Iterator[Problem]:
    """A TEMPLATE that does less than the Jinja: not used, or used and poorer."""
    if pair.modelfile is None or not pair.file.jinja or pair.file.is_embedder:
        return
    if _reasons_by_jinja(pair.file, pair.modelfile):
        yield note("chats tell reasoning from the answer, but `ollama run NAME TEXT` does not")
    template = pair.modelfile.last("template")
    if template is None or pair.modelfile.last("renderer") or pair.modelfile.last("parser"):
        return
    own = pair.translation.template if pair.translation else None
    can, go = capabilities.of_jinja(pair.file.jinja), capabilities.of_go(template)
    lost = [name for name in ("tools", "thinking") if getattr(can, name) > getattr(go, name)]
    if uses_jinja(pair.file, pair.modelfile):
        if template != own:
            yield warning(
                "Ollama ignores TEMPLATE: the chat template in the file can do more",
                "give TEMPLATE all of it, or leave it out",
            )
    elif lost:
        yield error(f"TEMPLATE takes {' and '.join(lost)} away", "leave TEMPLATE out")


def _reasons_by_jinja(file: Facts, modelfile: Modelfile) -> bool:
    return uses_jinja(file, modelfile) and capabilities.of_jinja(file.jinja).thinking


def same_prompts(pair: Pair) -> Iterator[Problem]:
    """A TEMPLATE in place of the chat template is to make the same prompts."""
    found = pair.comparison
    if found is None:
        return
    if found.verdict == "refused":
        yield error(f"Ollama refuses TEMPLATE: {found.message}", "correct it, or leave it out")
    elif found.verdict == "unequal":
        yield warning(
            f"TEMPLATE makes other prompts than the chat template: {found.message}",
            "leave TEMPLATE out, or take that of `quantize modelfile` if it writes one",
        )
    elif found.verdict == "equal":
        yield note(f"proven to make the prompts of the chat template: {found.message}")
    elif found.message:
        yield note(f"whether it makes the prompts of the chat template is open: {found.message}")


def renderer(pair: Pair) -> Iterator[Problem]:
    if pair.modelfile is None:
        return
    name, parser = pair.modelfile.last("renderer"), pair.modelfile.last("parser")
    if foreign := foreign_turns(pair.file.arch, pair.file.jinja):
        yield warning(foreign, "use it with llama.cpp's own server, which takes the chat template")
    if name and name not in RENDERERS:
        yield error(f"Ollama has no renderer {name!r}: every request fails", "correct RENDERER")
    if parser and parser not in PARSERS:
        yield error(
            f"Ollama has no parser {parser!r}: tool calls and thinking stay text", "correct PARSER"
        )
    if name and not parser:
        yield warning("RENDERER without PARSER: tools and thinking are lost", "add PARSER")
    if parser and not name and not pair.modelfile.last("template"):
        yield error(
            "PARSER without RENDERER: prompts have no format at all", "add RENDERER, or drop PARSER"
        )


def doubled_bos(pair: Pair) -> Iterator[Problem]:
    template = pair.modelfile.last("template") if pair.modelfile else None
    source = pair.file.source
    if template is None or source is None or not source.adds_bos or not source.bos:
        return
    # Ollama itself drops this one text.
    if source.bos != "<bos>" and _text_at_begin(template).startswith(source.bos):
        yield error(
            f"TEMPLATE begins with {source.bos}, which llama.cpp adds as well",
            f"leave {source.bos} out of TEMPLATE",
        )


def _text_at_begin(template: str) -> str:
    """The text after the actions and white space at the beginning."""
    position = 0
    while match := _BEGIN.match(template, position):
        position = match.end()
    return template[position:]


def template_fields(pair: Pair) -> Iterator[Problem]:
    """A misspelt name in a TEMPLATE shows only when somebody chats."""
    template = pair.modelfile.last("template") if pair.modelfile else None
    actions = " ".join(_QUOTED.sub("", action) for action in _ACTION.findall(template or ""))
    unknown = sorted(set(_FIELD.findall(actions)) - _FIELDS)
    if unknown:
        yield error(
            f"TEMPLATE asks for what Ollama does not have: {', '.join(unknown)}",
            "correct the names: .Messages, .Role, .Content, .System, .Tools, ...",
        )


def harmony(pair: Pair) -> Iterator[Problem]:
    """Harmony's TEMPLATE always wins, so it must be able to do what the Jinja does."""
    template = pair.modelfile.last("template") if pair.modelfile else None
    if template is None or pair.file.arch not in HARMONY:
        return
    if not ("<|start|>" in template and "<|end|>" in template):
        yield error(
            f"a TEMPLATE for {pair.file.arch} without <|start|> and <|end|> gets no parser",
            "leave TEMPLATE out",
        )
