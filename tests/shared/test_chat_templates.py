"""The real chat templates of ../shared: how many are proven, and none of them wrongly."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType

import pytest

from quantize.ollama.templates.comparison import compare
from quantize.ollama.templates.conversations import Conversation, Message, go_data
from quantize.ollama.templates.go_interpreter import GoTemplate
from quantize.ollama.templates.go_styles import go_renderer
from quantize.ollama.templates.go_syntax import GoTemplateError
from quantize.ollama.templates.hijack import may_be_taken_for
from quantize.ollama.templates.jinja_render import JinjaTemplate, RenderError
from quantize.ollama.templates.probes import Level
from quantize.ollama.templates.proof import DAYS, held_out, normalized
from quantize.ollama.templates.translate import ChatTemplate, Translation, renderer, translate
from tests.support.go_engine import Engine
from tests.support.go_tags import tags_of

ROOT = Path(__file__).resolve().parents[2]
BOS, EOS = "<s>", "</s>"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "write_templates", ROOT / "scripts" / "write_templates.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def translations(shared: Path, script: ModuleType) -> dict[str, tuple[str, Translation]]:
    found: dict[str, str] = script.templates(shared)
    return {
        name: (jinja, translate(ChatTemplate(jinja, BOS, EOS))) for name, jinja in found.items()
    }


def test_most_are_proven(translations: dict[str, tuple[str, Translation]]) -> None:
    levels = [found.level for _, found in translations.values()]
    assert len(levels) == 115
    assert sum(level is not None for level in levels) >= 85
    assert sum(level is not None and level.tools for level in levels) >= 15


def test_none_without_tools_is_much_longer_than_its_jinja(
    translations: dict[str, tuple[str, Translation]],
) -> None:
    """People read and edit them."""
    for name, (jinja, found) in translations.items():
        if found.template is not None and found.level is not None and not found.level.tools:
            assert len(found.template) <= 2 * len(jinja), name


def test_greetings_are_written_as_the_jinja_writes_them(
    translations: dict[str, tuple[str, Translation]],
) -> None:
    """With a system text and without: a default one depends on the first message alone."""
    greeted = (Message("assistant", "Hello!"), Message("user", "Hi"))
    chats = [Conversation(greeted), Conversation((Message("system", "Be brief."), *greeted))]
    accepted = 0
    for name, (jinja, found) in translations.items():
        if found.template is None:
            continue
        render = renderer(JinjaTemplate(jinja, bos=BOS, eos=EOS), ChatTemplate(jinja, BOS, EOS))
        own = GoTemplate(found.template)
        for chat in chats:
            try:
                wanted = render(chat, DAYS[0])
            except RenderError:
                continue
            accepted += 1
            assert own.render(go_data(chat), DAYS[0]) == wanted, name
    assert accepted > 150


@pytest.mark.parametrize(
    ("name", "known"),
    [
        # By Levenshtein's distance to the texts of Ollama's template/index.json.
        ("library/exaone3.5:7.8b", None),  # 145
        ("library/llava-phi3:3.8b", None),  # 103
        ("library/phi3.5:3.8b", None),  # 109
        ("library/phi4:14b", None),  # 153
        ("library/llama3:8b", "llama3-instruct"),
        ("library/gemma2:2b", "gemma-instruct"),
        ("google-gemma-2-2b-it", "gemma-instruct"),
    ],
)
def test_what_ollama_takes_for_its_own(
    shared: Path, script: ModuleType, name: str, known: str | None
) -> None:
    assert may_be_taken_for(script.templates(shared)[name]) == known


def conversations(found: Translation) -> Iterator[tuple[Conversation, datetime]]:
    assert found.level is not None
    for number, one in enumerate(held_out(found.level)):
        yield one, DAYS[number % len(DAYS)]


def test_gos_engine_agrees_on_every_conversation(
    translations: dict[str, tuple[str, Translation]], go_engine: Engine
) -> None:
    for name, (jinja, found) in translations.items():
        if found.template is None:
            continue
        template = JinjaTemplate(jinja, bos=BOS, eos=EOS)
        source, own = ChatTemplate(jinja, BOS, EOS), GoTemplate(found.template)
        renders = [renderer(template, source, as_text=as_text) for as_text in (False, True)]
        held = list(conversations(found))
        for (one, day), prompt in zip(held, go_engine.render(found.template, held), strict=True):
            written = normalized(prompt, one)
            assert written == normalized(own.render(go_data(one), day), one), name
            wanted = set()
            for render in renders:
                try:
                    wanted.add(normalized(render(one, day), one))
                except RenderError:
                    continue
            # The Jinja takes the arguments of calls in one form or the other.
            assert not wanted or written in wanted, name


def test_the_interpreter_agrees_on_templates_that_people_wrote(
    shared: Path, go_engine: Engine
) -> None:
    """Of the style that sees messages; what the interpreter does not know it refuses."""
    entries = json.loads((shared / "chat_templates" / "ollama_library.json").read_text("utf-8"))
    written = [entry["ollama_template"] for entry in entries]
    held = list(held_out(Level(tools=False, thinking=False)))
    assert all(compare(None, template).verdict != "refused" for template in written)
    agreed = 0
    for template in (text for text in written if ".Messages" in text):
        try:
            own = [go_renderer(template)(one, DAYS[0]) for one in held]
        except GoTemplateError:
            continue
        assert go_engine.render(template, [(one, DAYS[0]) for one in held]) == own
        agreed += 1
    assert agreed > 45


def test_ollama_finds_the_tags_of_calls_and_reasoning(
    translations: dict[str, tuple[str, Translation]],
) -> None:
    for name, (jinja, found) in translations.items():
        if found.template is None or found.level is None:
            continue
        tags = tags_of(found.template)
        if found.level.tools:
            # Without a tag of its own, any JSON object may be a call.
            assert tags.calls == "{" or tags.calls in jinja, name
        if found.level.thinking:
            assert tags.opening, name
            assert tags.opening in jinja, name
            assert tags.closing in jinja, name


def test_the_table_in_the_documentation_is_that_of_today(
    translations: dict[str, tuple[str, Translation]], script: ModuleType
) -> None:
    rows = [script.row(name, jinja, found) for name, (jinja, found) in translations.items()]
    written = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
    assert [line for line in written.splitlines() if line in rows] == rows
