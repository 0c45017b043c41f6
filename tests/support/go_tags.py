"""How Ollama finds in a Go template what calls and reasoning look like in an answer.

Calls: the first text inside the first `if` that asks for .ToolCalls, up to a brace. Reasoning: the
first and the last text of the innermost list around .Thinking in a range over .Messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from quantize.ollama.templates import go_syntax as syntax
from quantize.ollama.templates.go_syntax import Expression, Node


class Tags(NamedTuple):
    calls: str
    opening: str
    closing: str


def tags_of(template: str) -> Tags:
    nodes, _ = syntax.parse(template)
    opening, closing = "", ""
    for inside in _lists(nodes):
        # The innermost and last one counts.
        if any(_uses(expression, "Thinking") for expression in _expressions(inside)):
            first, last = inside[0], inside[-1]
            opening = first.text.strip() if isinstance(first, syntax.Text) else opening
            closing = last.text.strip() if isinstance(last, syntax.Text) else closing
    return Tags(_calls(nodes), opening, closing)


def _calls(nodes: Sequence[Node]) -> str:
    for block in _blocks(nodes):
        if block.word == "if" and _asks_for_calls(block.value):
            text = _first_text(block.body) or ""
            return text.partition("{")[0].strip() or "{"
    return "{"


def _blocks(nodes: Sequence[Node]) -> Iterator[syntax.Block]:
    for node in nodes:
        if isinstance(node, syntax.Block):
            yield node
            yield from _blocks(node.body)
            yield from _blocks(node.otherwise)


def _asks_for_calls(expression: Expression) -> bool:
    """As a whole or as a direct argument; what stands in parentheses does not count."""
    direct = expression.arguments if isinstance(expression, syntax.Function) else (expression,)
    return any(isinstance(one, syntax.Field) and one.name == "ToolCalls" for one in direct)


def _first_text(nodes: Sequence[Node]) -> str | None:
    for node in nodes:
        if isinstance(node, syntax.Text) and node.text.strip():
            return node.text
        if isinstance(node, syntax.Block):
            return _first_text(node.body) or _first_text(node.otherwise)
    return None


def _lists(nodes: Sequence[Node]) -> Iterator[Sequence[Node]]:
    """Every list of nodes inside a range over .Messages, outer ones before inner ones."""
    for block in _blocks(nodes):
        if block.word == "range" and _uses(block.value, "Messages"):
            yield from _inner(block.body)


def _inner(nodes: Sequence[Node]) -> Iterator[Sequence[Node]]:
    yield nodes
    for node in nodes:
        if isinstance(node, syntax.Block):
            yield from _inner(node.body)
            if node.otherwise:
                yield from _inner(node.otherwise)


def _expressions(nodes: Sequence[Node]) -> Iterator[Expression]:
    for node in nodes:
        if not isinstance(node, syntax.Text | syntax.Jump):
            yield node.value


def _uses(expression: Expression, name: str) -> bool:
    if isinstance(expression, syntax.Field):
        return expression.name == name or _uses(expression.value, name)
    if isinstance(expression, syntax.Function):
        return any(_uses(argument, name) for argument in expression.arguments)
    return False
