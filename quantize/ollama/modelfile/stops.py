"""The stops of a Modelfile: which tokens end a turn, and what says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from quantize.ollama.modelfile.prompt import Prompt
from quantize.ollama.quoting import is_representable, quoted

CHAT_TEMPLATE = "chat template"
_CHOSEN = "chosen"


def stop_lines(
    ends: Mapping[str, Sequence[str]], prompt: Prompt | None, chosen: Iterable[str] = ()
) -> list[str]:
    """PARAMETER lines, each under a comment with its sources.

    `ends` are the tokens that end a turn and what says so; those that open another turn are no
    stops. A closing mark that only the chat template names is one, if none of `ends` closes its
    answers. `chosen` stops are always there.
    """
    stops, opening = _sorted_out(ends, prompt)
    for stop in chosen:
        stops.setdefault(stop, (_CHOSEN,))
    lines = [line for stop, names in stops.items() for line in _lines(stop, names)]
    lines += [
        f"# No stop, since it opens turns as well: {_shown(text)} ({_listed(names)})"
        for text, names in opening.items()
    ]
    return ["# The tokens that end a turn, each under what says so.", *lines] if lines else []


Said = dict[str, tuple[str, ...]]


def _sorted_out(ends: Mapping[str, Sequence[str]], prompt: Prompt | None) -> tuple[Said, Said]:
    """Stops, and end tokens that open a turn."""
    found = {text: tuple(names) for text, names in ends.items()}
    if prompt is None:
        return found, {}
    if prompt.stop:
        found[prompt.stop] = (*found.get(prompt.stop, ()), f"RENDERER {prompt.renderer}")
    turns = prompt.turns
    after = turns.after_answers - turns.opening
    if turns.is_end and not after & found.keys():
        found[turns.closing] = ()
    said = {
        text: (*names, CHAT_TEMPLATE) if text in after else names for text, names in found.items()
    }
    opening = {text: names for text, names in said.items() if text in turns.opening}
    # Without any stop Ollama may keep those of a template that it takes this one for.
    if len(opening) == len(said):
        return said, {}
    return {text: names for text, names in said.items() if text not in opening}, opening


def _lines(stop: str, names: Sequence[str]) -> list[str]:
    if not is_representable(stop):
        return [f"# A stop that a Modelfile cannot hold is left out: {stop!a} ({_listed(names)})"]
    return [f"# {_listed(names)}", f"PARAMETER stop {quoted(stop)}"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _shown(text: str) -> str:
    """A text as a comment can hold it."""
    return text if text.isprintable() else ascii(text)
