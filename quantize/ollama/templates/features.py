"""What is known about a place in a conversation: one table of features, each with its Go.

A feature is computed of a probing conversation, and asked for in the Go template by a condition.
Both are said here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from quantize.ollama.templates.conversations import Conversation, Message

# Name of a feature -> its value at a place: "previous" -> "user", "tools" -> "yes", ...
Features = Mapping[str, str]


class Test(NamedTuple):
    """Whether a feature has a value."""

    feature: str
    value: str


@dataclass(frozen=True, slots=True)
class Spot:
    """The place of a node of message `owner` that follows a node of kind `previous`."""

    conversation: Conversation
    owner: int
    previous: str

    @property
    def message(self) -> Message:
        return self.conversation.messages[self.owner]

    @property
    def final_user(self) -> int:
        """The last message of the user; -1 if there is none."""
        messages = self.conversation.messages
        return max((i for i, one in enumerate(messages) if one.role == "user"), default=-1)

    @property
    def is_last(self) -> bool:
        return self.owner + 1 == len(self.conversation.messages)


@dataclass(frozen=True, slots=True)
class Feature:
    """`cost` is how much Go it takes to ask. `go` are conditions by value, `*` is any value.

    Where `*` stands for all, "{value}" in the condition is the value.
    """

    name: str
    cost: float
    of: Callable[[Spot], str]
    go: Mapping[str, str]


FIRST_IS_SYSTEM = 'eq (index $.Messages 0).Role "system"'
_THINK = {None: "unset", True: "on", False: "off"}

# What costs more needs more Go. What depends on the neighbours is kept in variables there.
FEATURES: Mapping[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("previous", 1.0, lambda at: at.previous, {"*": 'eq $previous "{value}"'}),
        Feature(
            "system",
            1.1,
            lambda at: _yes(at.conversation.messages[0].role == "system"),
            {"yes": FIRST_IS_SYSTEM},
        ),
        Feature("tools", 1.1, lambda at: _yes(bool(at.conversation.tools)), {"yes": "$.Tools"}),
        Feature(
            "think",
            1.1,
            lambda at: _THINK[at.conversation.think],
            {
                "on": "$.Think",
                "off": "and $.IsThinkSet (not $.Think)",
                "unset": "not $.IsThinkSet",
            },
        ),
        Feature("content", 1.2, lambda at: _yes(bool(at.message.content)), {"yes": ".Content"}),
        # Not plain .ToolCalls: the first `if .ToolCalls` tells Ollama how calls begin.
        Feature(
            "calls",
            1.2,
            lambda at: _yes(bool(at.message.calls)),
            {"yes": "gt (len .ToolCalls) 0"},
        ),
        Feature("last", 1.3, lambda at: _yes(at.is_last), {"yes": "$last"}),
        Feature(
            "final user",
            1.5,
            lambda at: _yes(at.owner == at.final_user),
            {"yes": "eq $i $final"},
        ),
        Feature(
            "after final user",
            1.6,
            lambda at: _yes(at.owner > at.final_user),
            {"yes": "gt $i $final"},
        ),
        Feature(
            "next",
            2.5,
            lambda at: "" if at.is_last else at.conversation.messages[at.owner + 1].role,
            {"*": 'eq $next "{value}"'},
        ),
    )
}


def features_of(spot: Spot) -> Features:
    """All that is known about a place."""
    return {name: feature.of(spot) for name, feature in FEATURES.items()}


def go_condition(test: Test) -> str:
    """The Go that asks for it."""
    go = FEATURES[test.feature].go
    return go[test.value] if test.value in go else go["*"].format(value=test.value)


def _yes(value: bool) -> str:  # noqa: FBT001 (the value itself)
    return "yes" if value else "no"
