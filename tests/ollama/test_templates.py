"""Chat templates become Go templates that write the same prompts on Go's own engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from quantize.ollama.templates.conversations import Call, Conversation, Message, go_data
from quantize.ollama.templates.go_interpreter import GoTemplate
from quantize.ollama.templates.jinja_render import JinjaTemplate, RenderError
from quantize.ollama.templates.probes import Level
from quantize.ollama.templates.proof import DAYS, TOOLS, held_out, normalized
from quantize.ollama.templates.translate import ChatTemplate, Translation, renderer, translate
from tests.support import chat_templates
from tests.support.chat_templates import CLASSICS
from tests.support.go_engine import DAY, Engine, on, talk
from tests.support.go_tags import Tags, tags_of

CHAT = Level(tools=False, thinking=False)
WITH_TOOLS = Level(tools=True, thinking=False)
WITH_ALL = Level(tools=True, thinking=True)


def source(jinja: str) -> ChatTemplate:
    return ChatTemplate(jinja, "<s>", "</s>")


def proven(jinja: str) -> tuple[str, Level]:
    found = translate(source(jinja))
    assert found.template is not None, found.reason
    assert found.level is not None
    return found.template, found.level


def conversations(level: Level) -> Iterator[tuple[Conversation, datetime]]:
    for number, one in enumerate(held_out(level)):
        yield one, DAYS[number % len(DAYS)]


@pytest.mark.parametrize("name", CLASSICS)
def test_a_classic_format_is_written_as_it_is_published(name: str, go_engine: Engine) -> None:
    classic = CLASSICS[name]
    template, level = proven(classic.jinja)
    assert level == CHAT
    chat = talk("Hi", "Hello!", "Bye", system="Be brief.")
    assert go_engine.render(template, on(DAY, [chat])) == [classic.prompt]


@pytest.mark.parametrize(
    ("jinja", "level"),
    [
        *((classic.jinja, CHAT) for classic in CLASSICS.values()),
        (chat_templates.DATED, CHAT),
        (chat_templates.TOOLS, WITH_TOOLS),
        (chat_templates.THINKING, WITH_ALL),
    ],
    ids=[*CLASSICS, "dated", "tools", "thinking"],
)
def test_gos_engine_agrees_on_every_held_out_conversation(
    jinja: str, level: Level, go_engine: Engine
) -> None:
    template, found = proven(jinja)
    assert found == level
    render = renderer(JinjaTemplate(jinja, bos="<s>", eos="</s>"), source(jinja))
    held = list(conversations(level))
    compared = 0
    for (one, day), prompt in zip(held, go_engine.render(template, held), strict=True):
        own = GoTemplate(template).render(go_data(one), day)
        assert normalized(own, one) == normalized(prompt, one)
        try:
            wanted = render(one, day)
        except RenderError:
            continue
        assert normalized(prompt, one) == normalized(wanted, one)
        compared += 1
    assert compared > len(held) / 3


def test_every_template_of_the_kits_tokenizers(kit: Path, go_engine: Engine) -> None:
    templates = kit_templates(kit)
    assert len(templates) > 10
    for name, jinja in templates.items():
        template, level = proven(jinja)
        render = renderer(JinjaTemplate(jinja, bos="<s>", eos="</s>"), source(jinja))
        held = list(conversations(level))
        for (one, day), prompt in zip(held, go_engine.render(template, held), strict=True):
            try:
                wanted = render(one, day)
            except RenderError:
                continue
            assert normalized(prompt, one) == normalized(wanted, one), name


def kit_templates(kit: Path) -> dict[str, str]:
    found = {}
    for folder in sorted((kit / "tokenizers").iterdir()):
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        template = config.get("chat_template")
        if isinstance(template, list):
            template = {entry["name"]: entry["template"] for entry in template}["default"]
        if (folder / "chat_template.jinja").is_file():
            template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        if template is not None:
            found[folder.name] = template
    return found


def test_a_call_and_its_result_are_written_between_their_tags(go_engine: Engine) -> None:
    template, _ = proven(chat_templates.TOOLS)
    chat = Conversation(
        (
            Message("user", "Rain?"),
            Message("assistant", calls=(Call("get_weather", {"city": "Ulm"}),)),
            Message("tool", "sunny", name="get_weather"),
        ),
        tools=TOOLS[:1],
    )
    [prompt] = go_engine.render(template, on(DAY, [chat]))
    assert normalized(prompt, chat).endswith(
        "</tools><|im_end|>\n<|im_start|>user\nRain?<|im_end|>\n"
        "<|im_start|>assistant\n<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "Ulm"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nsunny\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_ollama_finds_the_tags_of_calls_and_reasoning() -> None:
    template, _ = proven(chat_templates.THINKING)
    assert tags_of(template) == Tags("<tool_call>", "<think>", "</think>")


def test_thinking_is_switched_as_the_request_says(go_engine: Engine) -> None:
    template, _ = proven(chat_templates.THINKING)
    off, on_, unset = (
        Conversation((Message("user", "Hi"),), think=think) for think in (False, True, None)
    )
    start = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert go_engine.render(template, on(DAY, [off, on_, unset])) == [
        start + "<think>\n\n</think>\n\n",
        start,
        start,
    ]


@pytest.mark.parametrize(
    ("jinja", "opened"),
    [
        (chat_templates.CHATML.jinja, "<|im_start|>assistant\n"),
        (CLASSICS["llama3"].jinja, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        (CLASSICS["llama2"].jinja, "[INST] Count. [/INST] "),
        (chat_templates.TOOLS, "<|im_start|>assistant\n"),
        (chat_templates.THINKING, "<|im_start|>assistant\n"),
    ],
    ids=["chatml", "llama2", "llama3", "tools", "thinking"],
)
def test_the_beginning_of_an_answer_is_left_open(
    jinja: str, opened: str, go_engine: Engine
) -> None:
    """A last message of the assistant is what the model goes on with."""
    template, _ = proven(jinja)
    chat = talk("Count.", "One, two,")
    [prompt] = go_engine.render(template, on(DAY, [chat]))
    assert prompt.endswith(f"{opened}One, two,")


def test_begun_reasoning_and_tools_are_left_open_too(go_engine: Engine) -> None:
    template, _ = proven(chat_templates.THINKING)
    answer = Message("assistant", "It is", thinking="Look.")
    asked = Conversation((Message("user", "Rain?"), answer), think=True, tools=TOOLS[:1])
    [prompt] = go_engine.render(template, on(DAY, [asked]))
    assert prompt.endswith("<|im_start|>assistant\n<think>\nLook.\n</think>\n\nIt is")


def test_an_exact_template_trims_every_kind_of_white_space() -> None:
    jinja = CLASSICS["llama3"].jinja
    short = translate(source(jinja)).template
    exact = translate(source(jinja), is_exact=True).template
    assert short is not None
    assert exact is not None
    chat = go_data(talk(" \u3000Hi\u00a0\r\n"))
    assert ">\n\nHi<|" in GoTemplate(exact).render(chat, DAY)
    assert ">\n\n\u3000Hi\u00a0<|" in GoTemplate(short).render(chat, DAY)
    assert len(short) < len(exact) / 1.5


def test_reasoning_is_kept_after_the_last_user_only(go_engine: Engine) -> None:
    template, _ = proven(chat_templates.THINKING)
    answer = Message("assistant", "Yes.", thinking="Hm.")
    chat = Conversation((Message("user", "A?"), answer, Message("user", "B?"), answer))
    [prompt] = go_engine.render(template, on(DAY, [chat]))
    assert prompt.count("<think>\nHm.\n</think>\n\nYes.") == 1
    assert prompt.index("<think>") > prompt.index("B?")


def test_a_later_system_text_stands_where_the_jinja_puts_it(go_engine: Engine) -> None:
    template, _ = proven(chat_templates.CHATML.jinja)
    chat = Conversation(
        (
            Message("user", "A"),
            Message("assistant", "B"),
            Message("system", "C"),
            Message("user", "D"),
        )
    )
    [prompt] = go_engine.render(template, on(DAY, [chat]))
    assert prompt == (
        "<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n"
        "<|im_start|>system\nC<|im_end|>\n<|im_start|>user\nD<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_later_system_text_that_is_not_proven_is_left_out(go_engine: Engine) -> None:
    """As templates of DeepSeek do, this one writes the last system text before all else."""
    jinja = (
        "{% set at = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
        "{% set at.system = m.content %}{% endif %}{% endfor %}{{ at.system }}"
        "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    template, _ = proven(jinja)
    roles = ("system", "user", "assistant", "system", "user")
    chat = Conversation(tuple(map(Message, roles, "ABCDE")))
    [prompt] = go_engine.render(template, on(DAY, [chat]))
    assert prompt == "A<|user|>B<|end|><|assistant|>C<|end|><|user|>E<|end|><|assistant|>"


def test_a_default_system_text_stands_before_a_greeting_too(go_engine: Engine) -> None:
    template, _ = proven(
        "{% if messages[0].role != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}"
        + chat_templates.CHATML.jinja
    )
    greeted = (Message("assistant", "Welcome."), Message("user", "Hi"))
    named = (Message("system", "Sing."), *greeted)
    prompts = go_engine.render(template, on(DAY, [Conversation(greeted), Conversation(named)]))
    rest = (
        "<|im_start|>assistant\nWelcome.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert prompts == [
        f"<|im_start|>system\nHelp.<|im_end|>\n{rest}",
        f"<|im_start|>system\nSing.<|im_end|>\n{rest}",
    ]
    assert template.count("Help.") == 1


def test_turns_that_are_alike_are_written_once() -> None:
    """A person writes this template on six lines."""
    template, _ = proven(chat_templates.CHATML.jinja)
    assert template.count("<|im_start|>") == 2
    assert len(template.splitlines()) <= 7


def test_the_date_is_that_of_the_request(go_engine: Engine) -> None:
    template, _ = proven(chat_templates.DATED)
    [prompt] = go_engine.render(template, on(DAY, [talk("Hi")]))
    assert "Today is 09 Mar 2026, or March 09, 2026, or 2026-03-09." in prompt


def test_the_tokenizers_own_bos_is_left_out_and_others_are_kept() -> None:
    jinja = "{{ bos_token }}" + chat_templates.CHATML.jinja
    chat = go_data(talk("Hi"))
    adds, does_not = (
        translate(ChatTemplate(jinja, "<s>", "</s>", adds_bos=adds)).template
        for adds in (True, False)
    )
    assert adds is not None
    assert does_not is not None
    assert GoTemplate(does_not).render(chat, DAY) == "<s>" + GoTemplate(adds).render(chat, DAY)


@pytest.mark.parametrize(
    ("jinja", "reason"),
    [
        ("{% for m in messages %}{{ m.content", "no valid Jinja"),
        ("{{ raise_exception('for nobody') }}", "for nobody"),
        ("Nothing of the conversation.", "never hold a user's text"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "never hold"),
        ("{% for m in messages | reverse %}{{ m.content }}|{% endfor %}", "in an order"),
        (
            "{% for m in messages %}{{ loop.index }}: {{ m.content }}\n{% endfor %}",
            "follows no rule",
        ),
        ("{% for m in messages %}{{ m.content | length }}{{ m.content }}{% endfor %}", "white"),
        ("{% for m in messages %}{{ m.content[:40] }};{% endfor %}", "differ"),
        ("{% for m in messages %}{{ m.content | replace('{', '(') }};{% endfor %}", "differ"),
    ],
)
def test_what_is_not_understood_or_proven_has_no_template(jinja: str, reason: str) -> None:
    found = translate(source(jinja))
    assert (found.template, found.level) == (None, None)
    assert reason in found.reason


def test_a_template_is_translated_in_part_when_its_tools_are_not_understood() -> None:
    jinja = chat_templates.TOOLS.replace("{{ tool | tojson }}", "{{ tool.function | string }}")
    found = translate(source(jinja))
    assert found.level == CHAT
    assert "tools" in found.reason


def test_a_translation_is_the_same_every_time() -> None:
    one: Translation = translate(source(chat_templates.TOOLS))
    assert translate(source(chat_templates.TOOLS)) == one
