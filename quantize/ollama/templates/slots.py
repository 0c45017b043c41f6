"""Where the parts of a conversation are in a prompt, and the text between them.

A probing conversation has a mark for each text: a word that no template contains. A prompt is then
a row of slots (marks, and the JSON of tools and arguments) with glue between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any, Literal, NamedTuple

from quantize.ollama.templates.conversations import Conversation

# The owner of slots that belong to no message.
TOOLS = -1


# What the Go template treats as one: a message's text, an assistant's text, reasoning and calls, a
# tool's result, the list of tools.
Kind = Literal["system", "user", "text", "thinking", "calls", "result", "tools"]
# A part of a node; "" is all of a tool's description.
Part = Literal["content", "name", "id", "arguments", "description", "function", "parameters", ""]
Form = Literal["raw", "json"]


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A part of message `owner`, of its call or of tool `number`."""

    owner: int
    kind: Kind
    number: int
    part: Part
    form: Form


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt taken apart: glues[0], slots[0], glues[1], ... glues[-1]."""

    glues: tuple[str, ...]
    slots: tuple[Slot, ...]


# A message's role -> the kind of its text.
KINDS: Mapping[str, Kind] = {
    "system": "system",
    "user": "user",
    "assistant": "text",
    "tool": "result",
}


def read(prompt: str, conversation: Conversation) -> Reading:
    """Find every slot of `conversation` in `prompt`."""
    marks = _marks(conversation)
    values = _values(conversation)
    words = "|".join(map(re.escape, sorted(marks, key=len, reverse=True)))
    glues, slots, begin, position = [], [], 0, 0
    pattern = re.compile(f'({words})|[{{"]' if words else '[{"]')
    while match := pattern.search(prompt, position):
        word = match[1]
        found, end = (marks[word], match.end()) if word else _json_at(prompt, match.start(), values)
        if found is not None:
            glues.append(prompt[begin : match.start()])
            slots.append(found)
            begin = end
        position = end
    return Reading((*glues, prompt[begin:]), tuple(slots))


def _json_at(prompt: str, start: int, values: Mapping[str, Slot]) -> tuple[Slot | None, int]:
    try:
        value, end = json.JSONDecoder().raw_decode(prompt, start)
    except (ValueError, RecursionError):
        return None, start + 1
    slot = values.get(canonical(value))
    return (None, start + 1) if slot is None else (slot, end)


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


def canonical(value: object) -> str:
    """One text for all spellings of a JSON value."""
    return _ENCODER.encode(value)


def _marks(conversation: Conversation) -> dict[str, Slot]:
    marks = {}
    for owner, message in enumerate(conversation.messages):
        kind = KINDS[message.role]
        marks[message.content.strip()] = Slot(owner, kind, 0, "content", "raw")
        marks[message.thinking.strip()] = Slot(owner, "thinking", 0, "content", "raw")
        if message.role == "tool":
            marks[message.name] = Slot(owner, "result", 0, "name", "raw")
            marks[message.call_id] = Slot(owner, "result", 0, "id", "raw")
    for owner, message in enumerate(conversation.messages):
        for number, call in enumerate(message.calls):
            marks[call.name] = Slot(owner, "calls", number, "name", "raw")
            marks[call.id] = Slot(owner, "calls", number, "id", "raw")
    for number, tool in enumerate(conversation.tools):
        named: tuple[Part, ...] = ("name", "description")
        for part in named:
            marks[tool["function"][part]] = Slot(TOOLS, "tools", number, part, "raw")
    marks.pop("", None)
    return marks


def _values(conversation: Conversation) -> dict[str, Slot]:
    """The JSON values that count as one slot; a string only where JSON writes it in quotes."""
    values = {}
    for owner, message in enumerate(conversation.messages):
        if message.role == "tool":
            slot = Slot(owner, "result", 0, "content", "json")
            values[canonical(message.content)] = slot
            values[canonical(message.content.strip())] = slot
        for number, call in enumerate(message.calls):
            values[canonical(dict(call.arguments))] = Slot(
                owner, "calls", number, "arguments", "json"
            )
    for number, tool in enumerate(conversation.tools):
        parts: dict[Part, Any] = {"": tool, "function": tool["function"]}
        parts["parameters"] = tool["function"]["parameters"]
        for part, value in parts.items():
            values[canonical(value)] = Slot(TOOLS, "tools", number, part, "json")
    return values


@dataclass(frozen=True, slots=True)
class Node:
    """Neighbouring slots of one owner and kind: `before`, then slots with `inner` between them."""

    before: str
    kind: Kind
    owner: int
    slots: tuple[Slot, ...]
    inner: tuple[str, ...]


def nodes(reading: Reading) -> tuple[list[Node], str]:
    """The nodes of a prompt in their order, and the glue after the last."""
    found: list[Node] = []
    for glue, slot in zip(reading.glues, reading.slots, strict=False):
        if found and (found[-1].kind, found[-1].owner) == (slot.kind, slot.owner):
            last = found.pop()
            found.append(
                Node(last.before, last.kind, last.owner, (*last.slots, slot), (*last.inner, glue))
            )
        else:
            found.append(Node(glue, slot.kind, slot.owner, (slot,), ()))
    return found, reading.glues[-1]


class WhiteSpace(StrEnum):
    """What the white space on one side of a text became."""

    KEPT = "kept"
    TRIMMED = "trimmed"
    NEWLINES = "lines"


class Trim(NamedTuple):
    """What happens to the white space around a text."""

    left: WhiteSpace
    right: WhiteSpace


NO_TRIM = Trim(WhiteSpace.KEPT, WhiteSpace.KEPT)


def trims(plain: Reading, padded: Reading, pads: tuple[str, str]) -> Sequence[Trim] | None:
    """For each slot what became of a padded text's left and right side.

    `pads` are what stood before and after each text. None if the glue changed otherwise.
    """
    if plain.slots != padded.slots:
        return None
    lefts = {
        pads[0]: WhiteSpace.KEPT,
        "": WhiteSpace.TRIMMED,
        pads[0].lstrip("\n"): WhiteSpace.NEWLINES,
    }
    rights = {
        pads[1]: WhiteSpace.KEPT,
        "": WhiteSpace.TRIMMED,
        pads[1].rstrip("\n"): WhiteSpace.NEWLINES,
    }
    has_pad = [slot.part == "content" and slot.form == "raw" for slot in plain.slots]
    left, right = [WhiteSpace.KEPT] * len(has_pad), [WhiteSpace.KEPT] * len(has_pad)
    for place, (glue, with_pads) in enumerate(zip(plain.glues, padded.glues, strict=True)):
        ends = rights if place > 0 and has_pad[place - 1] else {"": WhiteSpace.KEPT}
        starts = lefts if place < len(has_pad) and has_pad[place] else {"": WhiteSpace.KEPT}
        for end, start in product(ends, starts):
            if end + glue + start == with_pads:
                break
        else:
            return None
        if place > 0:
            right[place - 1] = ends[end]
        if place < len(has_pad):
            left[place] = starts[start]
    return [Trim(*sides) for sides in zip(left, right, strict=True)]
