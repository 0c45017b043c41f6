"""Which marks close the turns of a chat and which open them, read off rendered prompts.

A mark is a token of the vocabulary that is not ordinary text, or what looks like one: <|im_end|>.
Only the text between two messages is looked at, so this needs no grammar and no proof.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from quantize.ollama.templates.conversations import Conversation
from quantize.ollama.templates.grammar import END
from quantize.ollama.templates.jinja_render import RenderError
from quantize.ollama.templates.probes import Level, probes
from quantize.ollama.templates.slots import nodes, read

# Kind of the part before ("" at the begin), of the part after, and the text between them.
Glue = tuple[str, str, str]

_PATTERNS = frozenset({"U", "UA", "UAU", "SUAU", "UCT", "UCTAU"})
_TAG = r"<[^<>\s]+>|\[\|[^\[\]\s]+\|\]"
_ROLES = ("system", "developer", "user", "assistant", "model", "tool", "function", "observation")
_CLOSED = re.compile(r"</([^<>\s/]+)>")


def glues_of(render: Callable[[Conversation], str], *, tools: bool) -> tuple[Glue, ...]:
    """The text between the parts of some short chats, those that can be rendered."""
    found: dict[Glue, None] = {}
    for pattern, probe in probes(Level(tools=tools, thinking=False)):
        if pattern in _PATTERNS:
            with suppress(RenderError):
                present, end = nodes(read(render(probe), probe))
                kinds = ["", *(node.kind for node in present), END]
                texts = [*(node.before for node in present), end]
                found |= dict.fromkeys(zip(kinds, kinds[1:], texts, strict=False))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Turns:
    """`closing` is what closes an answer, `opening` what opens turns and closes none.

    `after_answers` are all marks between an answer and what follows. `is_end`: a model that writes
    `closing` has nothing more to say.
    """

    closing: str = ""
    is_end: bool = False
    after_answers: frozenset[str] = frozenset()
    opening: frozenset[str] = frozenset()


NO_TURNS = Turns()


def turns_of(glues: Sequence[Glue], specials: Iterable[str], bos: str) -> Turns:
    """The turns of a chat template with these glues; `specials` are tokens, `bos` one of them."""
    tokens = frozenset(specials)
    words = {text for text in tokens if text and any(text in glue for _, _, glue in glues)}
    pattern = re.compile("|".join([*map(re.escape, sorted(words, key=len, reverse=True)), _TAG]))
    closing = _closing(glues, pattern, bos)
    opening, after_answers = set(), set()
    bare = _without_wraps(glues, closing)
    for before, _, text in bare:
        # Whatever comes last before a part opens it.
        marks = pattern.findall(text)
        opening |= set(marks[-1:] if before else ())
        after_answers |= set(marks if before == "text" else ())
    return Turns(
        closing,
        bool(closing) and _answers_at_once(bare),
        frozenset(after_answers),
        frozenset((opening | _for_other_roles(opening) & tokens) - {closing}),
    )


def _for_other_roles(opening: Iterable[str]) -> set[str]:
    """<|observation|> along with <|user|>: a chat template without tools does not show it."""
    named = [(mark, role) for mark in opening for role in _ROLES if role in mark]
    return {mark.replace(role, other) for mark, role in named for other in _ROLES}


def _closing(glues: Sequence[Glue], pattern: re.Pattern[str], bos: str) -> str:
    """The mark right after an answer, unless it rather opens what follows."""
    after = {kind: text.strip() for before, kind, text in glues if before == "text"}
    first = after.get("user", after.get(END, ""))
    mark = pattern.match(first)
    if mark is None:
        return ""
    # One mark between an answer and a question opens the question, unless it is after every
    # answer, whatever follows.
    if mark[0] == first and pattern.findall(after.get(END, ""))[:1] != [first]:
        return ""
    starts = [pattern.findall(text) for before, _, text in glues if not before]
    opens = any(marks and marks[-1] == mark[0] for marks in starts)
    return "" if opens and mark[0] != bos else mark[0]


def _answers_at_once(glues: Sequence[Glue]) -> bool:
    """Whether a prompt ends where an answer or its reasoning begins.

    Otherwise a model writes the heads of its messages itself, and a turn may have several.
    """
    after = {kind: text.rstrip() for before, kind, text in glues if before == "user"}
    return "text" in after and after.get(END, "").startswith(after["text"])


def _without_wraps(glues: Sequence[Glue], closing: str) -> list[Glue]:
    """The glues without tags such as <think> and </think>, which are around parts of a turn."""
    names = {name for _, _, text in glues for name in _CLOSED.findall(text)}
    wraps = [re.escape(name) for name in sorted(names) if f"</{name}>" != closing]
    tags = re.compile(rf"\s*</?(?:{'|'.join(wraps)})>\s*")
    return [(one, other, tags.sub("", text) if wraps else text) for one, other, text in glues]
