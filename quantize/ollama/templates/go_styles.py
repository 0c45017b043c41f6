"""A Go template run on conversations, in either of the two styles that Ollama knows.

A template that ranges over .Messages sees the whole conversation. One of the older style sees a
turn: .System, .Prompt and .Response. It is run once for each turn, and for the last one what comes
after the prompt is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from quantize.ollama.templates.conversations import Conversation, Message, collated, go_data
from quantize.ollama.templates.go_interpreter import GoTemplate
from quantize.ollama.templates.go_syntax import (
    Assign,
    Block,
    Expression,
    Field,
    Function,
    GoTemplateError,
    Node,
    Print,
    Template,
    Variable,
)
from quantize.ollama.templates.proof import Render


def go_renderer(source: str) -> Render:
    """How Ollama makes prompts with a TEMPLATE. Raises GoTemplateError, and so does the result.

    What is inside parentheses does not count for the style: Ollama overlooks it.
    """
    template = GoTemplate(source)
    names = set(_names(template.body))
    if "Messages" in names:
        return lambda conversation, now: template.render(
            go_data(conversation) | {"Suffix": ""}, now
        )
    if "Response" not in names:
        template = GoTemplate(f"{source}{{{{ .Response }}}}")
    return _by_turns(template)


def sees_messages(source: str) -> bool:
    """Whether a TEMPLATE is of the style that sees the whole conversation."""
    return "Messages" in set(_names(GoTemplate(source).body))


def _by_turns(template: GoTemplate) -> Render:
    last = template.with_body(_cut(template.body)[0])

    def render(conversation: Conversation, now: datetime) -> str:
        if conversation.messages[-1].role == "assistant":
            raise GoTemplateError("a conversation that ends with an answer has no prompt")
        common = go_data(conversation) | {"Messages": [], "Tools": [], "Suffix": ""}
        turns = list(_turns(conversation))
        return "".join(
            (last if number == len(turns) else template).render(
                common | dict(zip(("System", "Prompt", "Response"), turn, strict=True)), now
            )
            for number, turn in enumerate(turns, start=1)
        )

    return render


def _turns(conversation: Conversation) -> Iterator[tuple[str, str, str]]:
    """System text, prompt and answer of each turn; what is not said is empty."""
    system, prompt, answer = "", "", ""
    message: Message
    for message in collated(conversation.messages)[1]:
        ends = answer or (message.role == "system" and prompt)
        if message.role in ("system", "user") and ends:
            yield system, prompt, answer
            system, prompt, answer = "", "", ""
        if message.role == "system":
            system = message.content
        elif message.role == "user":
            prompt = message.content
        elif message.role == "assistant":
            answer = message.content
    yield system, prompt, answer


def _cut(nodes: Sequence[Node]) -> tuple[tuple[Node, ...], bool]:
    """The nodes before the first that prints .Response, and whether there is one."""
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Print) and "Response" in _names((node,)):
            return tuple(kept), True
        if isinstance(node, Block):
            body, in_body = _cut(node.body)
            otherwise, found = ((), True) if in_body else _cut(node.otherwise)
            kept.append(replace(node, body=body, otherwise=otherwise))
            if found:
                return tuple(kept), True
        else:
            kept.append(node)
    return tuple(kept), False


def _names(nodes: Sequence[Node]) -> Iterator[str]:
    """Names of the fields that nodes ask for."""
    for node in nodes:
        match node:
            case Print(value) | Assign(_, value) | Template(_, value):
                yield from _fields(value)
            case Block():
                yield from _fields(node.value)
                yield from _names((*node.body, *node.otherwise))


def _fields(expression: Expression) -> Iterator[str]:
    match expression:
        case Function(_, arguments):
            for argument in arguments:
                yield from _fields(argument)
        case Field(value, name):
            names = [name]
            while isinstance(value, Field):
                names.append(value.name)
                value = value.value
            yield from (names if isinstance(value, Variable) else ())
