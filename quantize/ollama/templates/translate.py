"""A Jinja chat template, translated into a Go template that is proven to write the same prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from quantize.ollama.templates import capabilities
from quantize.ollama.templates.beginnings import cut, marked
from quantize.ollama.templates.conversations import (
    Conversation,
    Message,
    described,
    go_data,
    jinja_flags,
    jinja_messages,
)
from quantize.ollama.templates.decisions import common_suffix
from quantize.ollama.templates.go_interpreter import GoTemplate
from quantize.ollama.templates.go_syntax import GoTemplateError
from quantize.ollama.templates.go_template import OPENING, go_template
from quantize.ollama.templates.go_trim import with_exact_trims
from quantize.ollama.templates.go_writer import NOW
from quantize.ollama.templates.grammar import (
    CLOSING,
    Derivation,
    Grammar,
    NotDerivableError,
    Observation,
    observe,
)
from quantize.ollama.templates.jinja_render import JinjaTemplate, RenderError
from quantize.ollama.templates.probes import LEVELS, NEEDED, Extras, Level, emptied, padded, probes
from quantize.ollama.templates.proof import Render, difference, held_out, with_later_systems
from quantize.ollama.templates.slots import KINDS, read
from quantize.ollama.templates.turns import Glue, glues_of

# Turns of the probes that are rendered without texts, too.
_SHORT = 5


@dataclass(frozen=True, slots=True)
class Translation:
    """`template` is proven for `level`; None if nothing is. `reason` is why it is not more.

    `glues` are what the chat template writes between messages, proven or not. `is_given_up`: it
    needs more time or memory than any honest one.
    """

    template: str | None
    level: Level | None
    reason: str
    glues: tuple[Glue, ...] = ()
    is_given_up: bool = False


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template and what the tokenizer knows of it.

    `adds_bos` says that the tokenizer puts `bos` before a prompt, which is then left out here.
    """

    jinja: str
    bos: str = ""
    eos: str = ""
    adds_bos: bool = True


def translate(source: ChatTemplate, *, is_exact: bool = False) -> Translation:
    """The translation with the most that can be proven.

    Where the chat template trims texts, it trims ASCII white space, and every kind if `is_exact`.
    """
    try:
        template = JinjaTemplate(source.jinja, bos=source.bos, eos=source.eos)
    except RenderError as error:
        return Translation(None, None, str(error))
    glues = glues_of(
        lambda one: renderer(template, source, goes_on=False)(one, NOW),
        tools=capabilities.of_jinja(source.jinja).tools,
    )
    reasons: list[str] = []
    for level in _levels(source.jinja):
        for as_text in (False, True) if level.tools else (False,):
            render = _remembered(renderer(template, source, as_text=as_text))
            try:
                written = _proven(render, level)
                written = _exact(written, render, level) if is_exact else written
                return Translation(written, level, "; ".join(reasons), glues)
            except (NotDerivableError, GoTemplateError) as error:
                reasons.append(f"{level}: {error}")
    return Translation(None, None, "; ".join(reasons), glues)


def _levels(jinja: str) -> Iterator[Level]:
    can = capabilities.of_jinja(jinja)
    return (
        level for level in LEVELS if can.tools >= level.tools and can.thinking >= level.thinking
    )


def renderer(
    template: JinjaTemplate, source: ChatTemplate, *, as_text: bool = False, goes_on: bool = True
) -> Render:
    """How a chat template writes a conversation's prompt, without the tokenizer's BOS.

    `goes_on`: an assistant's last message is the beginning of an answer, and not all of it.
    """

    def render(conversation: Conversation, now: datetime) -> str:
        is_begun = goes_on and conversation.begins_answer
        said = marked(conversation) if is_begun else conversation
        prompt = template.render(
            jinja_messages(said, arguments_as_text=as_text),
            now=now,
            tools=conversation.tools,
            flags=jinja_flags(conversation),
            is_begun=is_begun,
        )
        prompt = prompt.removeprefix(source.bos) if source.adds_bos else prompt
        return cut(prompt, conversation) if is_begun else prompt

    return render


def _remembered(render: Render) -> Render:
    """The same, each prompt made once: attempts ask for the same conversations again."""
    prompts: dict[tuple[str, datetime], str | RenderError] = {}

    def remember(conversation: Conversation, now: datetime) -> str:
        key = repr(conversation), now
        if key not in prompts:
            try:
                prompts[key] = render(conversation, now)
            except RenderError as error:
                prompts[key] = error
        found = prompts[key]
        if isinstance(found, RenderError):
            raise found
        return found

    return remember


def _proven(render: Render, level: Level) -> str:
    """Source of a proven template. Raises NotDerivableError with the reason if there is none.

    What is no part of a level is translated as well where that can be proven. System texts after
    the first message are left out otherwise.
    """
    try:
        return _with_systems(render, level, greeting=True)
    except NotDerivableError:
        return _with_systems(render, level, greeting=False)


def _with_systems(render: Render, level: Level, *, greeting: bool) -> str:
    plain, whole = Extras(greeting), Extras(greeting, later_system=True)
    grammar, skipped = _derived(render, level, plain)
    source = go_template(grammar, skipped)
    _check(source, render, held_out(level, plain))
    if difference(render, _go(source), with_later_systems()) is None:
        return source
    # A template that refuses a first system text has no idea of system texts.
    with suppress(NotDerivableError, GoTemplateError, RenderError):
        render(Conversation((Message("system", "S"), Message("user", "U"))), NOW)
        source = go_template(*_derived(render, level, whole))
        _check(source, render, held_out(level, whole))
        return source
    source = go_template(grammar, skipped, first_system_only=True)
    _check(source, render, held_out(level, plain))
    return source


def _exact(source: str, render: Render, level: Level) -> str:
    """The template with exact trims. Raises NotDerivableError."""
    exact = with_exact_trims(source)
    if exact != source:
        _check(exact, render, held_out(level, is_exact=True))
    return exact


def _derived(render: Render, level: Level, extras: Extras) -> tuple[Grammar, frozenset[str]]:
    """The grammar, and the kinds of messages that count only if they have a text."""
    probed = list(probes(level, extras))
    derivation = Derivation(list(_observations(render, level, probed)))
    _require(derivation, level)
    _require_tags(derivation.grammar(), level)
    skipped: frozenset[str] = frozenset()
    for role in ("system", "user", "assistant"):
        skipped |= _empty(render, derivation, probed, role)
    return derivation.grammar(), skipped


def _check(source: str, render: Render, conversations: Iterable[Conversation]) -> None:
    found = difference(render, _go(source), conversations)
    if found is not None:
        raise NotDerivableError(f"the prompts of {described(found.conversation)} differ")


def _go(source: str) -> Render:
    template = GoTemplate(source)
    return lambda conversation, now: template.render(go_data(conversation), now)


def _observations(
    render: Render, level: Level, probed: Iterable[tuple[str, Conversation]]
) -> Iterator[Observation]:
    accepted, refusal = set(), ""
    for pattern, probe in probed:
        try:
            yield observe(lambda one: render(one, NOW), probe, padded(probe))
        except RenderError as error:
            refusal = refusal or str(error)
        else:
            accepted.add((pattern, bool(probe.tools), probe.think))
    thinks = (None, True, False) if level.thinking else (None,)
    for with_tools in (False, True) if level.tools else (False,):
        for pattern in NEEDED[with_tools]:
            if not all((pattern, with_tools, think) in accepted for think in thinks):
                raise NotDerivableError(f"the template refuses it: {refusal}")


def _require(derivation: Derivation, level: Level) -> None:
    """What a level is about must be in the prompts, in a form that Ollama can write."""
    if level.tools:
        for kind in ("tools", "calls"):
            if not derivation.parts(kind):
                raise NotDerivableError(f"the prompts never hold {kind} as JSON or by name")
        if "arguments" not in derivation.parts("calls"):
            raise NotDerivableError("the arguments of calls are not written as JSON")
    if level.thinking and not derivation.parts("thinking"):
        raise NotDerivableError("the prompts never hold reasoning of the history")


def _require_tags(grammar: Grammar, level: Level) -> None:
    """Ollama finds calls and reasoning in an answer by the text around them in the template."""
    if level.tools and not common_suffix(grammar.before["calls"]).strip():
        raise NotDerivableError("no text tells calls from an answer")
    if level.thinking:
        opened = OPENING.search(common_suffix(grammar.before["thinking"]))
        if not opened or not CLOSING.fullmatch(grammar.after["thinking"]):
            raise NotDerivableError("no tags tell reasoning from an answer")


def _empty(
    render: Render,
    derivation: Derivation,
    probed: Iterable[tuple[str, Conversation]],
    role: str,
) -> frozenset[str]:
    """What a message without text does: written as any other, left out, or in a way of its own.

    The kind of such messages if they are left out.
    """
    kind = KINDS[role]
    without = [emptied(probe, role) for pattern, probe in probed if len(pattern) <= _SHORT]
    grammar = derivation.grammar()
    for choice in (frozenset[str](), frozenset({kind})):
        if difference(render, _go(go_template(grammar, choice)), without) is None:
            return choice
    readings = []
    for conversation in without:
        with suppress(RenderError):
            readings.append((conversation, read(render(conversation, NOW), conversation)))
    derivation.add_empty(kind, readings)
    return frozenset()
