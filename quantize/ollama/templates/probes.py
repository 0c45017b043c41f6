"""The conversations that a chat template is asked to render, to find out what it does.

A pattern names the turns: S system, U user, A answer, R answer with its reasoning, C one tool call,
D two at once, B a call after a text, Q a call after reasoning, T the result of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from quantize.ollama.templates.conversations import Call, Conversation, Message, Tool, function_tool

# Before and after each text of a padded probe. Whatever is left of one is nothing that can be left
# of the other, and templates that trim only line breaks leave the rest.
PADS = ("\n\t", "  \n\n")


@dataclass(frozen=True, slots=True)
class Level:
    """What a template is to be translated with, besides plain chat."""

    tools: bool
    thinking: bool

    def __str__(self) -> str:
        extras = [name for name in ("tools", "thinking") if getattr(self, name)]
        return " with ".join(["chat", " and ".join(extras)]) if extras else "chat"


@dataclass(frozen=True, slots=True)
class Extras:
    """What is no part of a level, since many chat templates refuse or lose it.

    A `greeting` is an assistant's text at the beginning, a `later_system` text one after an answer.
    """

    greeting: bool = False
    later_system: bool = False


NO_EXTRAS = Extras()

# From the most that can be proven to the least.
LEVELS = (Level(True, True), Level(True, False), Level(False, True), Level(False, False))  # noqa: FBT003

_CHAT = ("U", "UA", "UAU", "UAUA", "UAUAU")
_LATER_SYSTEM = ("UASU", "UASUA", "UASUAU")
# Without tools: chat templates differ in where those are then.
_GREETED = ("AU", "AUAU")
_CALLS = ("UCT", "UCTA", "UCTAU", "UCTCT", "UAUCT", "UCTAUCT", "UBT", "UBTAU", "UDTT", "UDTTAU")
_REASONED = ("UR", "URU", "URURU", "UAURU")
_REASONED_CALLS = ("UQT", "UQTR", "UQTA", "UQTQT", "UQTRU", "URUQT")
# A template that cannot render these has no such turns.
NEEDED = {False: ("U", "UAU"), True: ("U", "UAU", "UCT")}


def patterns(level: Level, extras: Extras, *, with_tools: bool) -> Iterator[str]:
    found = [*_CHAT]
    found += _GREETED if extras.greeting and not with_tools else ()
    found += _LATER_SYSTEM if extras.later_system else ()
    found += _CALLS if with_tools else ()
    found += _REASONED if level.thinking else ()
    found += _REASONED_CALLS if with_tools and level.thinking else ()
    for pattern in found:
        yield pattern
        yield f"S{pattern}"


def probes(level: Level, extras: Extras = NO_EXTRAS) -> Iterator[tuple[str, Conversation]]:
    """Patterns and their conversations, every text of which is a mark."""
    for with_tools in (False, True) if level.tools else (False,):
        for think in (None, True, False) if level.thinking else (None,):
            for pattern in patterns(level, extras, with_tools=with_tools):
                yield (
                    pattern,
                    conversation(pattern, _mark, tools=TOOLS if with_tools else (), think=think),
                )


def padded(conversation: Conversation) -> Conversation:
    """The same with white space around each text."""

    def pad(text: str) -> str:
        return f"{PADS[0]}{text}{PADS[1]}" if text else ""

    return replace(
        conversation,
        messages=tuple(
            replace(one, content=pad(one.content), thinking=pad(one.thinking))
            for one in conversation.messages
        ),
    )


def emptied(conversation: Conversation, role: str) -> Conversation:
    """The same with no text in any message of a role."""
    return replace(
        conversation,
        messages=tuple(
            replace(one, content="") if one.role == role else one for one in conversation.messages
        ),
    )


def conversation(
    pattern: str,
    text: Callable[[str, int], str],
    *,
    tools: tuple[Tool, ...] = (),
    think: bool | None = None,
) -> Conversation:
    """`text` gives the text of a kind (system, user, text, thinking, result, call, name) and turn.

    A call is a tool's name, and so is the name in a result.
    """
    messages: list[Message] = []
    waiting: list[Call] = []
    for place, letter in enumerate(pattern):
        if letter in "SU":
            role = {"S": "system", "U": "user"}[letter]
            messages.append(Message(role, text(role, place)))
        elif letter == "T":
            call = waiting.pop(0)
            name = text("name", place) or call.name
            messages.append(Message("tool", text("result", place), name=name, call_id=call.id))
        else:
            calls = tuple(
                Call(
                    text("call", place + number),
                    {"city": f"town {place}", "days": number + 1},
                    # Mistral's templates want identifiers of nine letters and digits.
                    f"zqid{place:03d}{number:02d}",
                )
                for number in range({"C": 1, "D": 2, "B": 1, "Q": 1}.get(letter, 0))
            )
            waiting = list(calls)
            messages.append(
                Message(
                    "assistant",
                    text("text", place) if letter in "ARB" else "",
                    text("thinking", place) if letter in "RQ" else "",
                    calls,
                )
            )
    return Conversation(tuple(messages), tools, think)


def _mark(kind: str, place: int) -> str:
    return f"zq{kind[:2]}{place:02d}w"


_PLACE = {
    "city": {"type": "string", "description": "a town or city"},
    "days": {"type": "integer", "description": "from today on"},
}
TOOLS = (
    function_tool("zqto00name", "zqto00purpose", _PLACE, "city"),
    function_tool("zqto01name", "zqto01purpose", _PLACE, "city"),
    function_tool("zqto02name", "zqto02purpose", _PLACE, "city"),
)
