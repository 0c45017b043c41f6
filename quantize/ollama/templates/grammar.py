"""The prompt grammar of a chat template, derived from what it makes of probing conversations.

A prompt is a row of nodes (system text, user text, an answer's reasoning, text and calls, a tool's
result, the tools), each with text before it. The text before a node, what of its white space is
trimmed and whether it is shown at all may depend on the features of its place; `decisions` finds
on which. The text before the end is the generation prompt.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from quantize.ollama.templates.conversations import Conversation, Message
from quantize.ollama.templates.decisions import Row, T, Tree, choose, common_prefix, decide
from quantize.ollama.templates.features import Features, Spot, features_of
from quantize.ollama.templates.probes import PADS
from quantize.ollama.templates.slots import (
    TOOLS,
    Form,
    Node,
    Part,
    Reading,
    Slot,
    Trim,
    nodes,
    read,
    trims,
)
from quantize.ollama.templates.starts import start_of

END = "end"
# The tag that closes reasoning, with the white space around it.
CLOSING = re.compile(r"\s*(</?[^<>\s]+>|\[/?[^\[\]\s]+\])\s*")
_OPEN_TAG = re.compile(r"[<\[][^<>\[\]\s]*\Z")


class NotDerivableError(Exception):
    """The template is none of those that this module understands; the text says why."""


SystemPlace = Literal["turn", "final user"]
ToolsPlace = Literal["start", "first user", "final user"]


class Places(NamedTuple):
    """Where the system text and the tools are: in a turn of their own, or moved."""

    system: SystemPlace
    tools: ToolsPlace

    def moves(self, kind: str) -> bool:
        """Whether nodes of a kind are written with the final user's message."""
        return (kind == "system" and self.system == "final user") or (
            kind == "tools" and self.tools == "final user"
        )


# The plainest first.
_PLACES = tuple(
    Places(system, tools)
    for system in get_args(SystemPlace)
    for tools in ("first user", "start", "final user")
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """How one element of a node is written: its parts, the text between them and elements."""

    parts: tuple[tuple[Part, Form], ...]
    inner: tuple[str, ...]
    separator: str


@dataclass(frozen=True, slots=True)
class Grammar:
    """By kind of node. `after` is the part of the following glue that is always the same.

    `start` is what the prompt begins with, whatever comes first.
    """

    start: Tree[str]
    before: Mapping[str, Tree[str]]
    after: Mapping[str, str]
    trim: Mapping[str, Tree[Trim]]
    shown: Mapping[str, Tree[bool]]
    patterns: Mapping[str, Pattern]
    places: Places


@dataclass(slots=True)
class _Rows:
    before: dict[str, list[Row[str]]] = field(default_factory=lambda: defaultdict(list))
    trim: dict[str, list[Row[Trim]]] = field(default_factory=lambda: defaultdict(list))
    shown: dict[str, list[Row[bool]]] = field(default_factory=lambda: defaultdict(list))


# One probe, how its prompt reads, and how that of its padded twin does.
Observation = tuple[Conversation, Reading, Reading]


class Derivation:
    """Collects what probes show, and makes a grammar of it."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        """Raises NotDerivableError."""
        if not any(slot.kind == "user" for _, plain, _ in observations for slot in plain.slots):
            raise NotDerivableError("the prompts never hold a user's text")
        self._places = _places(observations)
        self._rows = _Rows()
        self._found: dict[str, list[Node]] = defaultdict(list)
        for conversation, plain, padded in observations:
            present, end = nodes(plain)
            for node in present:
                self._found[node.kind].append(node)
            sides = trims(plain, padded, PADS)
            if sides is None:
                raise NotDerivableError("white space around a text changes the text around it")
            trimmed = dict(zip(plain.slots, sides, strict=True))
            _collect(self._rows, conversation, self._places, present, end, trimmed)

    def parts(self, kind: str) -> set[str]:
        """Which parts of a kind of node are in the prompts."""
        return {slot.part for node in self._found.get(kind, ()) for slot in node.slots}

    def grammar(self) -> Grammar:
        """Raises NotDerivableError."""
        rows = self._rows
        after = _after(rows.before)
        start, before = start_of(
            {
                kind: [(one, text.removeprefix(after[one["previous"]])) for one, text in some]
                for kind, some in rows.before.items()
            }
        )
        return Grammar(
            start=start,
            before={k: _decided(some, f"the text before {k}") for k, some in before.items()},
            after=after,
            trim={k: _decided(some, f"what is trimmed of {k}") for k, some in rows.trim.items()},
            shown={k: _decided(some, f"where {k} is shown") for k, some in rows.shown.items()},
            patterns={kind: _pattern(kind, some) for kind, some in self._found.items()},
            places=self._places,
        )

    def add_empty(self, kind: str, readings: Iterable[tuple[Conversation, Reading]]) -> None:
        r"""Learn what is before a message of a kind that has no text.

        An empty text leaves one glue where two were. For a user's text in ChatML:

            with a text      <|im_start|>user\n  U  <|im_end|>\n<|im_start|>assistant\n
            without          <|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n

        If the one glue ends with what is always between this kind and the next, it is shown, and
        the rest is before the empty text; else nothing of the message is shown.
        """
        raw = {name: decide(rows) for name, rows in self._rows.before.items()}
        for conversation, reading in readings:
            self._add_empty(kind, conversation, reading, raw)

    def _add_empty(
        self,
        kind: str,
        conversation: Conversation,
        reading: Reading,
        raw: Mapping[str, Tree[str] | None],
    ) -> None:
        present, end = nodes(reading)
        glues: dict[tuple[str, int], str] = {(n.kind, n.owner): n.before for n in present}
        if not conversation.begins_answer:
            glues[END, END_OWNER] = end
        previous, empty = "", None
        for name, owner in (*expected(conversation, self._places), (END, END_OWNER)):
            if name == kind:
                empty = _known(conversation, name, owner, previous, self._places)
            if (name, owner) not in glues:
                continue
            glue = glues[name, owner]
            if empty is not None:
                known = _known(conversation, name, owner, kind, self._places)
                tree = raw.get(name)
                between = "" if tree is None else choose(tree, known)
                is_shown = bool(between) and glue.endswith(between)
                self._rows.shown[kind].append((empty, is_shown))
                if is_shown:
                    self._rows.before[kind].append((empty, glue.removesuffix(between)))
                else:
                    known = _known(conversation, name, owner, previous, self._places)
                    self._rows.before[name].append((known, glue))
            previous, empty = name, None
        if empty is not None:
            # An answer that is begun without a text: what is there is before it.
            self._rows.shown[kind].append((empty, bool(end)))
            if end:
                self._rows.before[kind].append((empty, end))


def _decided(rows: Sequence[Row[T]], what: str) -> Tree[T]:
    tree = decide(rows)
    if tree is None:
        raise NotDerivableError(f"{what} follows no rule that is known here")
    return tree


def expected(conversation: Conversation, places: Places) -> Iterator[tuple[str, int]]:
    """Kind and owner of every node that a prompt may have, in their order."""
    users = [i for i, message in enumerate(conversation.messages) if message.role == "user"]
    tools = ("tools", TOOLS)
    if conversation.tools and places.tools == "start":
        yield tools
    for owner, message in enumerate(conversation.messages):
        if message.role == "system" and places.system == "final user":
            continue
        if conversation.tools and users and owner == users[0] and places.tools == "first user":
            yield tools
        if users and owner == users[-1]:
            if conversation.tools and places.tools == "final user":
                yield tools
            if places.system == "final user":
                yield from (
                    ("system", i)
                    for i, one in enumerate(conversation.messages)
                    if one.role == "system"
                )
        yield from ((kind, owner) for kind in _kinds(message))


def _kinds(message: Message) -> Iterator[str]:
    if message.role != "assistant":
        yield {"tool": "result"}.get(message.role, message.role)
        return
    if message.thinking:
        yield "thinking"
    if message.content or not message.calls:
        yield "text"
    if message.calls:
        yield "calls"


def _places(observations: Sequence[Observation]) -> Places:
    for places in _PLACES:
        if all(
            _in_order([(n.kind, n.owner) for n in nodes(plain)[0]], expected(conversation, places))
            for conversation, plain, _ in observations
        ):
            return places
    raise NotDerivableError("its parts are in an order that is not known here")


def _in_order(some: Iterable[object], every: Iterable[object]) -> bool:
    rest = iter(every)
    return all(one in rest for one in some)


# What may decide about a node that belongs to no single message, or to the end.
_GLOBAL = ("previous", "system", "tools", "think")
END_OWNER = -2


def _known(
    conversation: Conversation, kind: str, owner: int, previous: str, places: Places
) -> Features:
    """The features that may decide about a node."""
    if places.moves(kind):
        return features_of(Spot(conversation, Spot(conversation, 0, "").final_user, previous))
    known = features_of(Spot(conversation, max(owner, 0), previous))
    if kind in ("tools", END):
        return {name: known[name] for name in _GLOBAL}
    return {name: known[name] for name in (*_GLOBAL, "content")} if kind == "system" else known


def _collect(
    rows: _Rows,
    conversation: Conversation,
    places: Places,
    present: Sequence[Node],
    end: str,
    trimmed: Mapping[Slot, Trim],
) -> None:
    at: dict[tuple[str, int], Node] = {(node.kind, node.owner): node for node in present}
    previous = ""
    for kind, owner in expected(conversation, places):
        known = _known(conversation, kind, owner, previous, places)
        node = at.get((kind, owner))
        rows.shown[kind].append((known, node is not None))
        if node is None:
            continue
        rows.before[kind].append((known, node.before))
        for slot in node.slots:
            if slot.part == "content":
                rows.trim[kind].append((known, trimmed[slot]))
        previous = kind
    if not conversation.begins_answer:
        rows.before[END].append((_known(conversation, END, END_OWNER, previous, places), end))


def _after(before: Mapping[str, Sequence[Row[str]]]) -> dict[str, str]:
    """For each kind, the text that always follows it; it belongs to its own turn."""
    following: dict[str, list[str]] = defaultdict(list)
    for rows in before.values():
        for known, text in rows:
            following[known["previous"]].append(text)
    starts = sorted(set(following[""]))
    after = {"": ""}
    for kind, texts in following.items():
        if kind:
            # A tag that begins alike belongs to what follows, as a whole.
            common = common_prefix(texts)
            common = common if common in texts else _OPEN_TAG.sub("", common)
            after[kind] = _without_next_turn(common, starts, kind)
    return after


def _without_next_turn(text: str, starts: Sequence[str], kind: str) -> str:
    """Of `<|im_end|><|im_start|>user`, the text before something like the start of a prompt.

    Where to cut changes nothing in a prompt: this is how a person would write the template.
    """
    if kind == "thinking":
        closing = CLOSING.match(text)
        return closing[0] if closing else text
    likeness = [max(len(common_prefix([text[at:], s])) for s in starts) for at in range(len(text))]
    best = max(likeness, default=0)
    return text[: likeness.index(best)] if best > 1 else text


def _pattern(kind: str, some: Sequence[Node]) -> Pattern:
    """The one way in which all nodes of a kind are written."""
    first = some[0]
    size = sum(slot.number == first.slots[0].number for slot in first.slots)
    inner = first.inner[: size - 1]
    parts = tuple((slot.part, slot.form) for slot in first.slots[:size])
    separators = set()
    for node in some:
        elements = [
            tuple((slot.part, slot.form) for slot in node.slots[at : at + size])
            for at in range(0, len(node.slots), size)
        ]
        numbers = [slot.number for slot in node.slots[::size]]
        glues = [node.inner[at : at + size - 1] for at in range(0, len(node.slots), size)]
        separators |= {node.inner[at] for at in range(size - 1, len(node.inner), size)}
        if (
            set(elements) != {parts}
            or set(glues) != {inner}
            or numbers != list(range(len(numbers)))
        ):
            raise NotDerivableError(f"{kind} is written in more than one way")
    if len(separators) > 1:
        raise NotDerivableError(f"the text between {kind} differs")
    return Pattern(parts, inner, separators.pop() if separators else "")


def observe(
    render: Callable[[Conversation], str], conversation: Conversation, twin: Conversation
) -> Observation:
    """Render a probe and its padded twin."""
    return (
        conversation,
        read(render(conversation), conversation),
        read(render(twin), twin),
    )
