"""The part of Go's text/template syntax that prompt templates use, parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

FUNCTIONS = frozenset(
    {"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "json"}
    | {"currentDate", "yesterdayDate"}
)


# Go's and Ollama's other functions.
OTHER_FUNCTIONS = frozenset(
    {"print", "printf", "println", "html", "js", "urlquery", "call", "toTypeScriptType"}
)


# Words that may be in the place of a function.
_WORDS = frozenset({"block"})
_CONSTANTS: Mapping[str, bool | None] = {"true": True, "false": False, "nil": None}


class GoTemplateError(Exception):
    """The source is outside the subset, or fails on its data."""


class MalformedError(GoTemplateError):
    """No engine would take the source."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | bool | None


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name`, or the dot for the name "."."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    value: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arguments: tuple[Expression, ...]


Expression = Literal | Variable | Field | Function


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Print:
    value: Expression


@dataclass(frozen=True, slots=True)
class Assign:
    name: str
    value: Expression
    declares: bool


@dataclass(frozen=True, slots=True)
class Block:
    """`word` is if, range or with: `body` when the value is not empty, else `otherwise`."""

    word: str
    names: tuple[str, ...]
    value: Expression
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Jump:
    """`word` is break or continue, of the innermost range."""

    word: str


Node = Text | Print | Assign | Block | Template | Jump

_STRING = r"\"(?:\\.|[^\"\\])*\"|`[^`]*`"
_ACTION = re.compile(
    rf"\{{\{{(-\s)?\s*(?:/\*.*?\*/|((?:{_STRING}|[^\"`}}]|\}}(?!\}}))*?))\s*(\s-)?\}}\}}", re.DOTALL
)
_TOKEN = re.compile(
    rf"\s*({_STRING}|-?\d+|:=|=|,|\||\(|\)(?:\.\w+)*|\$?\w*(?:\.\w+)+|\$\w*|\.|\w+)"
)
_SPACE = " \t\r\n"

_Piece = str | tuple[str, ...]


def parse(source: str) -> tuple[tuple[Node, ...], dict[str, tuple[Node, ...]]]:
    """The nodes of a template, and those of the templates it defines. Raises GoTemplateError."""
    parser = _Parser(list(_pieces(source)))
    body = parser.nodes()
    if parser.more():
        raise MalformedError("an end without a beginning")
    return body, parser.defined


def _pieces(source: str) -> Iterator[_Piece]:
    """Texts, without the white space next to `{{-` and `-}}`, and the tokens of actions."""
    position, trim = 0, False
    for match in (*_ACTION.finditer(source), None):
        text = source[position : match.start() if match else len(source)]
        text = text.lstrip(_SPACE) if trim else text
        text = text.rstrip(_SPACE) if match and match[1] else text
        if "{{" in text:
            raise GoTemplateError(f"cannot read {text!r}")
        if text:
            yield text
        if match:
            if match[2] is not None:
                yield _tokens(match[2])
            position, trim = match.end(), bool(match[3])


def _tokens(code: str) -> tuple[str, ...]:
    tokens, position = [], 0
    while position < len(code):
        match = _TOKEN.match(code, position)
        if match is None:
            raise GoTemplateError(f"cannot read {code!r}")
        tokens.append(match[1])
        position = match.end()
    return tuple(tokens)


class _Parser:
    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = pieces
        self._at = 0
        self.defined: dict[str, tuple[Node, ...]] = {}

    def more(self) -> bool:
        return self._at < len(self._pieces)

    def nodes(self) -> tuple[Node, ...]:
        """Nodes up to an end or else of an outer block."""
        found: list[Node] = []
        while self.more():
            piece = self._pieces[self._at]
            match piece:
                case str():
                    found.append(Text(piece))
                case ("end",) | ("else", *_):
                    break
                case ("define", name):
                    self._at += 1
                    self.defined[_string(name)] = self.nodes()
                case ("template", name, *rest):
                    if not rest:
                        raise GoTemplateError(f"template {name} without a value")
                    found.append(Template(_string(name), expression(rest)))
                case ("break" | "continue" as word,):
                    found.append(Jump(word))
                case ("if" | "range" | "with" as word, *rest):
                    self._at += 1
                    found.append(self._block(word, rest))
                case (name, ":=" | "=" as sign, *rest):
                    found.append(Assign(name, expression(rest), sign == ":="))
                case _:
                    found.append(Print(expression(piece)))
            self._at += 1
        return tuple(found)

    def _block(self, word: str, tokens: Sequence[str]) -> Block:
        """Leaves the position at the block's own end."""
        names: tuple[str, ...] = ()
        if ":=" in tokens:
            at = tokens.index(":=")
            names = tuple(name for name in tokens[:at] if name != ",")
            tokens = tokens[at + 1 :]
        body = self.nodes()
        otherwise: tuple[Node, ...] = ()
        if not self.more():
            raise MalformedError(f"{word} without end")
        piece = self._pieces[self._at]
        if piece[0] == "else":
            self._at += 1
            # One end closes a whole chain of else if.
            match piece[1:]:
                case ("if", *rest):
                    otherwise = (self._block("if", rest),)
                case ():
                    otherwise = self.nodes()
                case _:
                    raise GoTemplateError(f"cannot read {' '.join(piece)}")
            if not self.more():
                raise MalformedError("else without end")
        return Block(word, names, expression(tokens), body, otherwise)


def expression(tokens: Sequence[str]) -> Expression:
    value, at = _pipeline(tokens, 0)
    if value == Literal(None):
        raise MalformedError("nil is not a command")
    if at != len(tokens):
        raise GoTemplateError(f"cannot read {' '.join(tokens)}")
    return value


def _pipeline(tokens: Sequence[str], at: int) -> tuple[Expression, int]:
    """Commands up to `)` or the end; each is the last argument of the next."""
    value, at = _command(tokens, at)
    while at < len(tokens) and tokens[at] == "|":
        function, at = _command(tokens, at + 1)
        if not isinstance(function, Function):
            raise GoTemplateError("what follows | is not a function")
        value = Function(function.name, (*function.arguments, value))
    return value, at


def _command(tokens: Sequence[str], at: int) -> tuple[Expression, int]:
    """A function with its arguments, or one operand."""
    if at == len(tokens):
        raise MalformedError("an empty action")
    name = tokens[at]
    if name not in FUNCTIONS:
        return _operand(tokens, at)
    arguments, at = [], at + 1
    while at < len(tokens) and tokens[at] != "|" and not tokens[at].startswith(")"):
        value, at = _operand(tokens, at)
        arguments.append(value)
    return Function(name, tuple(arguments)), at


def _operand(tokens: Sequence[str], at: int) -> tuple[Expression, int]:
    word = tokens[at]
    if word == "(":
        value, at = _pipeline(tokens, at + 1)
        if at == len(tokens):
            raise MalformedError("a parenthesis is not closed")
        return _fields(value, tokens[at][1:]), at + 1
    if word[0] in '"`':
        return Literal(_string(word)), at + 1
    if word.lstrip("-").isdecimal():
        return Literal(int(word)), at + 1
    if word in FUNCTIONS:
        return Function(word, ()), at + 1
    if word in _CONSTANTS:
        return Literal(_CONSTANTS[word]), at + 1
    head, dotted, path = word.partition(".")
    if head and not head.startswith("$"):
        kind = GoTemplateError if head in OTHER_FUNCTIONS | _WORDS else MalformedError
        raise kind(f"function {head!r} not defined")
    return _fields(Variable(head or "."), dotted + path), at + 1


def _fields(value: Expression, path: str) -> Expression:
    for name in filter(None, path.split(".")):
        value = Field(value, name)
    return value


def _string(token: str) -> str:
    if token.startswith("`"):
        return token[1:-1]
    # Python's literals have the escapes that Go's have, but for those that nobody writes.
    return token[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")
