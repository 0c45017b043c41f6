"""Conversations as Ollama knows them, and the two forms in which templates see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """An assistant's call of a tool."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """`role` is system, user, assistant or tool; `name` and `call_id` say what a result is of."""

    role: str
    content: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    name: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """`think` is what the request says: on, off, or nothing."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    think: bool | None = None

    @property
    def begins_answer(self) -> bool:
        """Whether its last message is the beginning of an answer, for the model to go on with."""
        last = self.messages[-1]
        return last.role == "assistant" and not last.calls


def described(conversation: Conversation) -> str:
    """Its turns, for a person: "empty system, user, assistant, user and tools, thinking off"."""
    turns = ", ".join(map(_described, conversation.messages))
    turns += " to go on with" if conversation.begins_answer else ""
    extras = " and tools" if conversation.tools else ""
    think = {None: "", True: ", thinking on", False: ", thinking off"}[conversation.think]
    return f"{turns}{extras}{think}"


def _described(message: Message) -> str:
    has_something = message.content or message.calls
    return message.role if has_something else f"empty {message.role}"


def jinja_messages(
    conversation: Conversation, *, arguments_as_text: bool = False
) -> list[dict[str, Any]]:
    """The messages in OpenAI's form, as chat templates read them.

    Templates expect the arguments of a call either as an object or as its JSON text.
    """
    return [_jinja_message(message, arguments_as_text) for message in conversation.messages]


def _jinja_message(message: Message, arguments_as_text: bool) -> dict[str, Any]:  # noqa: FBT001
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.thinking:
        # Two names are in use; a template reads one of them.
        fields |= {"reasoning_content": message.thinking, "thinking": message.thinking}
    if message.calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False)
                    if arguments_as_text
                    else dict(call.arguments),
                },
            }
            for call in message.calls
        ]
    if message.role == "tool":
        fields |= {"name": message.name, "tool_call_id": message.call_id}
    return fields


def jinja_flags(conversation: Conversation) -> dict[str, object]:
    """The variables that switch thinking: what Ollama sends, and another that templates read."""
    think = conversation.think
    return {} if think is None else {"enable_thinking": think, "thinking": think}


def go_data(conversation: Conversation) -> dict[str, Any]:
    """What Ollama hands to a Go template in messages style: Go's field names, JSON's values."""
    system, messages = collated(conversation.messages)
    return {
        "System": system,
        "Messages": [_go_message(message) for message in messages],
        "Tools": [_go_tool(tool) for tool in conversation.tools],
        "Response": "",
        "Think": bool(conversation.think),
        "ThinkLevel": "",
        "IsThinkSet": conversation.think is not None,
    }


def collated(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """All system texts as one, and the messages with neighbours of one role joined."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1].role == message.role != "tool":
            text = f"{joined[-1].content}\n\n{message.content}"
            joined[-1] = replace(joined[-1], content=text)
        else:
            joined.append(message)
    return system, joined


def _go_message(message: Message) -> dict[str, Any]:
    return {
        "Role": message.role,
        "Content": message.content,
        "Thinking": message.thinking,
        "ToolCalls": [
            {
                "ID": call.id,
                "Function": {"Index": index, "Name": call.name, "Arguments": call.arguments},
            }
            for index, call in enumerate(message.calls)
        ],
        "ToolName": message.name,
        "ToolCallID": message.call_id,
        "Images": [],
    }


def function_tool(
    name: str, description: str, properties: Mapping[str, Any], *required: str
) -> Tool:
    """A function that a model may call, as chat templates are given it."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                **({"required": list(required)} if required else {}),
            },
        },
    }


def _go_tool(tool: Tool) -> dict[str, Any]:
    function = tool["function"]
    return {
        "Type": tool["type"],
        "Function": {
            "Name": function["name"],
            "Description": function["description"],
            "Parameters": function["parameters"],
            JSON: function,
        },
        JSON: tool,
    }


# The key of what the `json` function makes of a structure.
JSON = "as json"
