"""Which marks close turns and which open them, and what becomes of that in a Modelfile."""

from __future__ import annotations

import pytest

from quantize.ollama.modelfile.prompt import Prompt, prompt_of
from quantize.ollama.modelfile.stops import stop_lines
from quantize.ollama.templates.translate import ChatTemplate, translate
from quantize.ollama.templates.turns import Turns, turns_of
from tests.support.chat_templates import CLASSICS, TOOLS
from tests.support.modelfile_reader import read_modelfile

GLM = (
    "[gMASK]<sop>{% for m in messages %}"
    "{% if m.role == 'tool' %}<|observation|>\n{{ m.content }}"
    "{% elif m.tool_calls %}<|assistant|>{% for c in m.tool_calls %}{{ c.function.name }}\n"
    "{{ c.function.arguments | tojson }}{% endfor %}"
    "{% else %}<|{{ m.role }}|>\n{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}{# tools #}"
)
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}"
    "{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m.content }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
SEPARATED = "{% for m in messages %}{{ m.content }}<sep>{% endfor %}"
UNCLOSED_AT_THE_END = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% if not loop.last %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_end|>\n<|im_start|>assistant\n{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}"
    + CLASSICS["chatml"].jinja
)
REASONING = CLASSICS["chatml"].jinja.replace(
    "assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"
)
SPECIALS = frozenset({"<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|observation|>", "<sep>"})


def turns(jinja: str, bos: str = "<s>") -> Turns:
    return turns_of(translate(ChatTemplate(jinja, bos, "</s>")).glues, SPECIALS, bos)


@pytest.mark.parametrize(
    ("jinja", "closing", "is_end", "opening"),
    [
        (CLASSICS["chatml"].jinja, "<|im_end|>", True, {"<|im_start|>"}),
        (CLASSICS["llama3"].jinja, "<|eot_id|>", True, {"<|end_header_id|>"}),
        (CLASSICS["llama2"].jinja, "</s>", True, {"<s>"}),
        (CLASSICS["vicuna"].jinja, "</s>", True, set()),
        (CLASSICS["gemma"].jinja, "<end_of_turn>", True, {"<start_of_turn>"}),
        (CLASSICS["phi3"].jinja, "<|end|>", True, {"<|user|>", "<|assistant|>"}),
        (CLASSICS["alpaca"].jinja, "</s>", True, set()),
        (DEFAULT_SYSTEM, "<|im_end|>", True, {"<|im_start|>"}),
        (UNCLOSED_AT_THE_END, "<|im_end|>", True, {"<|im_start|>"}),
        (REASONING, "<|im_end|>", True, {"<think>", "<|im_start|>"}),
        (SEPARATED, "<sep>", True, set()),
        (TOOLS, "<|im_end|>", True, {"<|im_start|>"}),
        # The next turn is all that closes an answer.
        (GLM, "", False, {"<|user|>", "<|assistant|>", "<|observation|>"}),
        # What closes a message may be followed by another of the same turn.
        (HARMONY, "<|end|>", False, {"<|start|>", "<|message|>"}),
        ("{{ raise_exception('no') }}", "", False, set()),
    ],
)  # fmt: skip
def test_what_closes_and_opens_turns(
    jinja: str, closing: str, is_end: bool, opening: set[str]  # noqa: FBT001
) -> None:  # fmt: skip
    found = turns(jinja)
    assert (found.closing, found.is_end) == (closing, is_end)
    assert opening <= found.opening
    assert not {closing, "<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>"} & found.opening


def test_a_role_that_the_template_does_not_show_opens_turns_as_the_others_do() -> None:
    without_tools = GLM.replace("<|observation|>", "")
    assert "<|observation|>" in turns(without_tools).opening
    assert "<|tool|>" not in turns(without_tools).opening


def stops(ends: dict[str, list[str]], jinja: str, arch: str = "llama") -> tuple[list[str], str]:
    """The stops, and all lines."""
    prompt = prompt_of(arch, ChatTemplate(jinja, "<s>", "</s>"), SPECIALS)
    lines = "\n".join(stop_lines(ends, prompt))
    found = read_modelfile(f"FROM x\n{lines}\n".encode())
    return [line.value for line in found if line.name == "stop"], lines


def test_an_end_token_that_opens_a_turn_is_no_stop() -> None:
    ends = {"</s>": ["a.json"], "<|user|>": ["b.json"], "<|observation|>": ["b.json"]}
    found, lines = stops(ends, GLM)
    assert found == ["</s>"]
    assert "# No stop, since it opens turns as well: <|user|> (b.json)" in lines


def test_there_is_a_stop_even_if_all_open_turns() -> None:
    assert stops({"<|user|>": ["b.json"]}, GLM)[0] == ["<|user|>"]


def test_an_end_that_only_the_template_names_is_a_stop() -> None:
    found, lines = stops({"</s>": ["config.json"]}, CLASSICS["chatml"].jinja)
    assert found == ["</s>", "<|im_end|>"]
    assert '# chat template\nPARAMETER stop "<|im_end|>"' in lines


def test_a_template_that_is_not_proven_says_it_as_well() -> None:
    jinja = CLASSICS["chatml"].jinja.replace("message.content", "message.content[:40]")
    prompt = prompt_of("llama", ChatTemplate(jinja))
    assert prompt.template is None
    assert prompt.turns.closing == "<|im_end|>"


def test_the_end_of_a_message_inside_a_turn_is_no_stop() -> None:
    """gpt-oss writes its reasoning and its answer as messages that <|end|> closes."""
    assert stops({"<|return|>": ["config.json"]}, HARMONY, "gpt-oss")[0] == ["<|return|>"]


def test_a_stop_says_all_its_sources() -> None:
    ends = {"<|im_end|>": ["config.json", "generation_config.json"]}
    _, lines = stops(ends, CLASSICS["chatml"].jinja)
    assert "# config.json, generation_config.json, chat template\n" in lines


def test_chosen_stops_are_there_whatever_they_open() -> None:
    turns = Turns(opening=frozenset({"<|user|>"}))
    lines = stop_lines({"</s>": ["x"]}, Prompt((), turns=turns), ["<|user|>"])
    assert 'PARAMETER stop "<|user|>"' in lines


def test_no_end_and_no_template_is_no_line() -> None:
    assert stop_lines({}, None) == []
