"""The prompt of a chat that ends with the beginning of an answer, which the model goes on with.

A chat template closes every answer. As transformers' `continue_final_message` does, the beginning
gets a mark, and what the template writes after the mark is cut off.
"""

from __future__ import annotations

from dataclasses import replace

from quantize.ollama.templates.conversations import Conversation
from quantize.ollama.templates.jinja_render import RenderError

_MARK = "zqbegunzq"
# White space after the mark: what is left of it says what the template trims.
_SPACE, _LINES = "  ", "\n\n"


def marked(conversation: Conversation) -> Conversation:
    """The same, with a mark after the beginning of an answer with which it ends."""
    *others, last = conversation.messages
    begun = replace(last, content=f"{last.content}{_MARK}{_SPACE}{_LINES}")
    return replace(conversation, messages=(*others, begun))


def cut(prompt: str, conversation: Conversation) -> str:
    """The prompt of a marked conversation up to the mark.

    White space before it stays if the template keeps it. Raises RenderError if there is no mark.
    """
    before, mark, after = prompt.rpartition(_MARK)
    text = conversation.messages[-1].content
    if not mark:
        raise RenderError("it does not write the beginning of an answer")
    if not text.strip() or after.startswith(_SPACE + _LINES):
        return before
    kept = text.rstrip("\n") if after.startswith(_SPACE) else text.rstrip()
    return before.removesuffix(text[len(kept) :])
