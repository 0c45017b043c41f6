"""Templates that people wrote, beside the chat template inside the file."""

from __future__ import annotations

import pytest

from quantize.ollama.templates.comparison import compare
from quantize.ollama.templates.confined import compare_confined
from quantize.ollama.templates.conversations import Conversation, Message
from quantize.ollama.templates.go_styles import go_renderer
from quantize.ollama.templates.go_syntax import GoTemplateError
from quantize.ollama.templates.translate import ChatTemplate, translate
from tests.ollama.test_prompt import ENDLESS
from tests.support.chat_templates import CHATML, CHATML_IN_GO, GEMMA, LLAMA2, THINKING, TOOLS
from tests.support.go_engine import DAY

BY_TURNS = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)


def source(jinja: str, bos: str = "<s>") -> ChatTemplate:
    return ChatTemplate(jinja, bos, "</s>")


def test_an_equal_template_is_proven() -> None:
    found = compare(source(CHATML.jinja), CHATML_IN_GO)
    assert (found.verdict, found.message) == ("equal", "chat")


def test_the_first_difference_is_shown() -> None:
    found = compare(source(CHATML.jinja), CHATML_IN_GO.replace("im_end|>\n", "im_end|>"))
    assert found.verdict == "unequal"
    assert found.message == (
        "for user, at character 30, it writes '<|im_start|>assistant\\n' where the chat template "
        "writes '\\n<|im_start|>assistant\\n'"
    )


def test_an_answer_that_is_begun_is_to_be_left_open() -> None:
    closing = (
        "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n"
    )
    found = compare(source(CHATML.jinja), closing)
    assert found.verdict == "unequal"
    assert "assistant to go on with" in found.message


def test_a_template_of_the_older_style_is_run_turn_by_turn() -> None:
    """Equal but where a text is empty, which that style cannot tell from none."""
    found = compare(source(CHATML.jinja), BY_TURNS)
    assert found.verdict == "unequal"
    assert "for empty system, user," in found.message


def test_the_older_style_is_that_of_the_reference() -> None:
    """The example of reference/ollama.md 3.4, which was seen in Ollama."""
    template = (
        "{{ if .System }}<s>{{ .System }}</s>{{ end }}{{ if .Prompt }}<u>{{ .Prompt }}</u>{{ end }}"
        "<a>{{ .Response }}</a>"
    )
    roles = ("system", "user", "user", "assistant", "system", "user")
    texts = ("S1", "U1", "U1b", "A1", "S2", "U2")
    messages = tuple(Message(*pair) for pair in zip(roles, texts, strict=True))
    prompt = go_renderer(template)(Conversation(messages), DAY)
    assert prompt == "<s>S1</s><u>U1\n\nU1b</u><a>A1</a><s>S2</s><u>U2</u><a>"


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        # What stands behind the answer is cut off wherever that is written.
        ("{{ .Prompt }}|{{ if .Prompt }}[{{ .Response }}]{{ else }}x{{ end }};", "a|[A];b|["),
        ("{{ .Prompt }}|{{ if .Response }}[{{ .Response }}]{{ end }};", "a|[A];b|"),
        # Without it the answer comes last.
        ("{{ .Prompt }}|", "a|Ab|"),
        # What is in parentheses is overlooked.
        ("{{ (index .Messages 0).Role }}{{ .Prompt }}|{{ .Response }}", None),
    ],
)
def test_what_is_cut_and_added_by_turns(template: str, prompt: str | None) -> None:
    talk = Conversation((Message("user", "a"), Message("assistant", "A"), Message("user", "b")))
    render = go_renderer(template)
    if prompt is None:
        with pytest.raises(GoTemplateError):
            render(talk, DAY)
    else:
        assert render(talk, DAY) == prompt


def test_only_ollamas_own_bos_is_taken_away() -> None:
    go = "{{ range .Messages }}{{ .Content }}{{ end }}"
    jinja = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    assert compare(source(jinja), go).verdict == "equal"
    assert compare(source(jinja), f"<s>{go}").verdict == "unequal"
    assert compare(source(jinja, "<bos>"), f"<bos>{go}").verdict == "equal"


def test_tools_count_where_both_have_them() -> None:
    go = CHATML_IN_GO.replace("{{ range", "{{ if .Tools }}{{ .Tools }}{{ end }}{{ range", 1)
    assert compare(source(CHATML.jinja), go).verdict == "equal"
    found = compare(source(TOOLS), go)
    assert (found.verdict, "user and tools" in found.message) == ("unequal", True)


@pytest.mark.parametrize("jinja", [TOOLS, THINKING, GEMMA.jinja, LLAMA2.jinja])
def test_our_own_translation_is_equal(jinja: str) -> None:
    template = translate(source(jinja)).template
    assert template is not None
    assert compare(source(jinja), template).verdict == "equal"


@pytest.mark.parametrize(
    ("jinja", "template", "reason"),
    [
        (CHATML.jinja, CHATML_IN_GO + "{{ printf `%s` .System }}", "printf"),
        (CHATML.jinja, CHATML_IN_GO + "{{ .Messages.Role }}", "Role"),
        ("{{ raise_exception('no') }}", CHATML_IN_GO, "refuses"),
        ("{% if %}", CHATML_IN_GO, "no valid Jinja"),
    ],
)
def test_what_cannot_be_told(jinja: str, template: str, reason: str) -> None:
    found = compare(source(jinja), template)
    assert found.verdict == "unknown"
    assert reason in found.message


@pytest.mark.parametrize(
    "template",
    ["{{ range .Messages }}", "{{ end }}", "{{ trim .System }}", "{{ }}", "{{ (len .System }}"],
)
def test_what_ollama_refuses(template: str) -> None:
    assert compare(source(CHATML.jinja), template).verdict == "refused"
    assert compare(None, template).verdict == "refused"


def test_without_a_chat_template_nothing_else_is_said() -> None:
    found = compare(None, CHATML_IN_GO)
    assert (found.verdict, found.message) == ("unknown", "")


def test_hostile_templates_are_bounded() -> None:
    found = compare_confined(source(ENDLESS), CHATML_IN_GO, seconds=2)
    assert (found.verdict, "within 2 seconds" in found.message) == ("unknown", True)
    assert compare_confined(source(CHATML.jinja), CHATML_IN_GO).verdict == "equal"
