"""Whether a TEMPLATE that somebody wrote makes the prompts of the model's own chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from quantize.ollama.templates import capabilities
from quantize.ollama.templates.conversations import Conversation, Message, described
from quantize.ollama.templates.go_styles import go_renderer, sees_messages
from quantize.ollama.templates.go_syntax import GoTemplateError, MalformedError
from quantize.ollama.templates.go_writer import NOW
from quantize.ollama.templates.jinja_render import JinjaTemplate, RenderError
from quantize.ollama.templates.probes import Level
from quantize.ollama.templates.proof import (
    PromptDifference,
    Render,
    difference,
    held_out,
    normalized,
)
from quantize.ollama.templates.translate import ChatTemplate, renderer

_SHOWN = 40
# What a person would try first, so that a difference is easy to see.
_TEXTS = (("user", "Hi"), ("assistant", "Hello!"), ("user", "Bye"))
# The one BOS that Ollama itself takes away where llama.cpp adds it.
_DROPPED = "<bos>"


@dataclass(frozen=True, slots=True)
class TemplateComparison:
    """`message` says where the prompts differ, why that is not known, or for what they agree.

    "refused": Ollama would not take the TEMPLATE at all.
    """

    verdict: Literal["equal", "unequal", "unknown", "refused"]
    message: str


def compare(source: ChatTemplate | None, template: str) -> TemplateComparison:
    """Hold the prompts of a TEMPLATE against those of a chat template, as `proof` does.

    Tools and reasoning count where both templates have them. Without a source only the syntax is
    looked at, and what is unknown has no message.
    """
    try:
        written = go_renderer(template)
    except MalformedError as error:
        return TemplateComparison("refused", f"{error}")
    except GoTemplateError as error:
        return TemplateComparison("unknown", f"{error}" if source else "")
    return (
        TemplateComparison("unknown", "")
        if source is None
        else _compared(source, template, written)
    )


def _compared(source: ChatTemplate, template: str, written: Render) -> TemplateComparison:
    try:
        jinja = JinjaTemplate(source.jinja, bos=source.bos, eos=source.eos)
        go = _without_bos(written, source)
        level = _level(source.jinja, template)
        asked = list(_conversations(level))
        # What it does with an answer that is begun is told where all else is right. A TEMPLATE of
        # the older style cannot see that there is one.
        asked.sort(key=lambda one: one.begins_answer)
        if not sees_messages(template):
            asked = [one for one in asked if not one.begins_answer]
        found, accepted = _difference(jinja, source, go, level, asked)
    except (GoTemplateError, RenderError) as error:
        return TemplateComparison("unknown", f"{error}")
    if not accepted:
        return TemplateComparison(
            "unknown", "the chat template refuses the conversations of the proof"
        )
    if found is None:
        return TemplateComparison("equal", str(level))
    return TemplateComparison("unequal", _told(found))


def _level(jinja: str, template: str) -> Level:
    one, other = capabilities.of_jinja(jinja), capabilities.of_go(template)
    return Level(one.tools and other.tools, one.thinking and other.thinking)


def _without_bos(go: Render, source: ChatTemplate) -> Render:
    is_dropped = source.adds_bos and source.bos == _DROPPED
    return lambda one, now: go(one, now).removeprefix(_DROPPED if is_dropped else "")


def _difference(
    jinja: JinjaTemplate,
    source: ChatTemplate,
    go: Render,
    level: Level,
    asked: Sequence[Conversation],
) -> tuple[PromptDifference | None, bool]:
    """The first difference, and whether the chat template could be rendered at all."""
    found, accepted = None, False
    # The Jinja takes the arguments of calls in one form or the other.
    for as_text in (False, True) if level.tools else (False,):
        render = renderer(jinja, source, as_text=as_text)
        accepted = accepted or any(_is_accepted(render, one) for one in asked)
        found = difference(render, go, asked)
        if found is None:
            break
    return found, accepted


def _conversations(level: Level) -> Iterator[Conversation]:
    talk = [Message(role, text) for role, text in _TEXTS]
    system = Message("system", "Be brief.")
    first = (talk[:1], [system, *talk[:1]], talk, [system, *talk])
    return chain((Conversation(tuple(messages)) for messages in first), held_out(level))


def _is_accepted(render: Render, conversation: Conversation) -> bool:
    try:
        render(conversation, NOW)
    except RenderError:
        return False
    return True


def _told(found: PromptDifference) -> str:
    written, wanted = (normalized(text, found.conversation) for text in (found.go, found.jinja))
    pairs = enumerate(zip(written, wanted, strict=False))
    shorter = min(len(written), len(wanted))
    at = next((place for place, (one, other) in pairs if one != other), shorter)
    return (
        f"for {described(found.conversation)}, at character {at + 1}, it writes "
        f"{_excerpt(written, at)} where the chat template writes {_excerpt(wanted, at)}"
    )


def _excerpt(text: str, at: int) -> str:
    rest = text[at : at + _SHOWN]
    return repr(rest) if rest else "nothing more"
