"""What Ollama finds a template able to do, and which of two templates it then uses.

Ollama searches texts for words: in the Jinja that a GGUF file holds, and in the Go template of a
Modelfile. The rules are those of Ollama 0.33.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOOL_ROLE = re.compile(
    r"""tool_response|tool_results|ipython|(role['"]\]|message\.role) == ['"]tool['"]"""
)
_SPLIT_THINKING = re.compile(r"""content\.split\((['"])</think>\1\)""")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`round_trip` says that calls and results of tools can be part of the history."""

    tools: bool
    thinking: bool
    round_trip: bool

    @property
    def number(self) -> int:
        return self.tools + self.thinking


def of_jinja(text: str) -> Capabilities:
    tools = "tools" in text or "tool_call" in text
    thinking = ("<think>" in text and "</think>" in text) or (
        _SPLIT_THINKING.search(text) is not None
        and "reasoning_content" not in text
        and "<SPECIAL_12>" not in text
    )
    calls = "tool_calls" in text or "assistant_tool_call" in text
    return Capabilities(tools, thinking, tools and calls and bool(_TOOL_ROLE.search(text)))


def of_go(template: str) -> Capabilities:
    """Of a template that this package wrote: `.Thinking` is between its tags there."""
    tools = ".Tools" in template
    results = any(w in template for w in ('eq .Role "tool"', "tool_response", "TOOL_RESULTS"))
    return Capabilities(
        tools, ".Thinking" in template, tools and ".ToolCalls" in template and results
    )


def prefers_jinja(jinja: Capabilities, go: Capabilities) -> bool:
    """Whether Ollama uses the Jinja inside the GGUF file although there is a TEMPLATE."""
    if jinja.number > go.number:
        return jinja.round_trip or not go.round_trip
    same = (jinja.tools, jinja.thinking) == (go.tools, go.thinking)
    return same and jinja.tools and jinja.round_trip and not go.round_trip
