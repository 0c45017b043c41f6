"""What the Modelfile says about prompts, and what becomes of hostile chat templates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from quantize.formats.kv import KV, KeyValues, string
from quantize.ollama.modelfile.prompt import Prompt, prompt_of, source_of
from quantize.ollama.modelfile.writing import modelfile
from quantize.ollama.templates import confined
from quantize.ollama.templates.capabilities import Capabilities, of_go, of_jinja, prefers_jinja
from quantize.ollama.templates.confined import translate_confined
from quantize.ollama.templates.hijack import may_be_taken_for
from quantize.ollama.templates.jinja_render import MAX_OUTPUT, JinjaTemplate, RenderError
from quantize.ollama.templates.probes import Level
from quantize.ollama.templates.translate import ChatTemplate, translate
from tests.support import chat_templates
from tests.support.go_engine import DAY
from tests.support.modelfile_reader import read_modelfile

NOTHING = Capabilities(tools=False, thinking=False, round_trip=False)
TOOLS = Capabilities(tools=True, thinking=False, round_trip=False)
TRIPS = Capabilities(tools=True, thinking=False, round_trip=True)
THINKS = Capabilities(tools=False, thinking=True, round_trip=False)
ALL = Capabilities(tools=True, thinking=True, round_trip=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ messages }}", NOTHING),
        ("{# no tools #}", TOOLS),
        ("{{ message.tool_calls }}", TOOLS),
        ("{{ message.tool_calls }}{% if message['role'] == 'tool' %}", TRIPS),
        ('{{ message.tool_calls }}{% if message["role"] == "tool" %}', TRIPS),
        ("{{ message.tool_calls }}{% if message.role == 'tool' %}", TRIPS),
        ("{{ tools }}<|start_header_id|>ipython", TOOLS),
        ("{{ message.tool_calls }} ipython", TRIPS),
        ("<think>", NOTHING),
        ("<think></think>", THINKS),
        ("{{ content.split('</think>') }}", THINKS),
        ('{{ content.split("</think>") }}', THINKS),
        ("{{ content.split('</think>') }}{{ reasoning_content }}", NOTHING),
        ("<think></think>{{ message.tool_calls }}<tool_response>", ALL),
    ],
)
def test_ollama_searches_a_jinja_for_words(text: str, found: Capabilities) -> None:
    assert of_jinja(text) == found


def test_what_a_translation_can_do_is_found_in_it() -> None:
    levels = {
        chat_templates.CHATML.jinja: NOTHING,
        chat_templates.TOOLS: TRIPS,
        chat_templates.THINKING: ALL,
    }
    for jinja, capabilities in levels.items():
        template = translate(ChatTemplate(jinja)).template
        assert template is not None
        assert of_go(template) == capabilities


@pytest.mark.parametrize(
    ("jinja", "go", "preferred"),
    [
        (NOTHING, NOTHING, False),
        (TOOLS, NOTHING, True),
        (TRIPS, NOTHING, True),
        (THINKS, NOTHING, True),
        (ALL, TRIPS, True),
        (TRIPS, TOOLS, True),
        (TRIPS, TRIPS, False),
        (NOTHING, TRIPS, False),
        (ALL, ALL, False),
        # More in the Jinja, but only the Go template lets results of tools into the history.
        (Capabilities(tools=True, thinking=True, round_trip=False), TRIPS, False),
    ],
)
def test_which_of_two_templates_ollama_uses(
    jinja: Capabilities,
    go: Capabilities,
    preferred: bool,  # noqa: FBT001
) -> None:
    assert prefers_jinja(jinja, go) is preferred


# The first and last of Ollama's ChatML entries differ from this in a few places only.
CHATML_AS_KNOWN = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def test_a_template_like_one_that_ollama_knows_is_recognized() -> None:
    assert may_be_taken_for(CHATML_AS_KNOWN) == "chatml"
    # A comment of more than 100 characters protects it.
    assert may_be_taken_for(CHATML_AS_KNOWN + "{# " + "~" * 150 + " #}") is None
    assert may_be_taken_for("x" * 20_000) is None


def short_unproven() -> str:
    return CHATML_AS_KNOWN.replace("message['content']", "message['content'][:40]")


def test_a_likeness_is_told_where_there_is_no_template() -> None:
    prompt = prompt_of("llama", ChatTemplate(short_unproven()))
    assert prompt.template is None
    assert any("OLLAMA_GO_TEMPLATE" in note for note in prompt.notes)


def test_a_proven_template_is_written() -> None:
    prompt = prompt_of("llama", ChatTemplate(chat_templates.LLAMA2.jinja, "<s>", "</s>"))
    lines = read_modelfile(modelfile("m.gguf", prompt=prompt).encode())
    [template] = [line.value for line in lines if line.word == "template"]
    assert template == prompt.template
    assert template == translate(ChatTemplate(chat_templates.LLAMA2.jinja, "<s>", "</s>")).template


def test_a_part_is_written_where_ollama_uses_the_jinja_for_the_rest() -> None:
    jinja = chat_templates.TOOLS.replace("{{ tool | tojson }}", "{{ tool.function | string }}")
    prompt = prompt_of("qwen2", ChatTemplate(jinja))
    assert prompt.template is not None
    assert any("leaves TEMPLATE to older versions" in note for note in prompt.notes)
    # Ollama takes every TEMPLATE of gpt-oss.
    assert prompt_of("gpt-oss", ChatTemplate(jinja)).template is None


@pytest.mark.parametrize(
    ("arch", "name", "stops"),
    [
        ("gemma4", "gemma4", ["<turn|>", "<|im_end|>"]),
        ("laguna", "laguna", ["<|im_end|>"]),
        ("nemotron_h", "nemotron-3-nano", ["<|im_end|>"]),
        ("nemotron_h_moe", "nemotron-3-nano", ["<|im_end|>"]),
    ],
)
def test_ollama_has_code_for_some_architectures(arch: str, name: str, stops: list[str]) -> None:
    prompt = prompt_of(arch, ChatTemplate(chat_templates.CHATML.jinja))
    assert (prompt.renderer, prompt.template) == (name, None)
    lines = read_modelfile(modelfile("m.gguf", prompt=prompt).encode())
    said = [(line.word, line.value) for line in lines if line.word in ("renderer", "parser")]
    assert said == [("renderer", name), ("parser", name)]
    assert [line.value for line in lines if line.name == "stop"] == stops


def test_turns_that_ollamas_own_code_does_not_write_are_told() -> None:
    """A fine-tune of Gemma 4 with ChatML: Ollama would chat with it in Gemma's turns."""
    foreign = prompt_of("gemma4", ChatTemplate(chat_templates.CHATML.jinja))
    assert foreign.warning is not None
    assert "<turn|>" in foreign.warning
    assert f"# {foreign.warning}" in foreign.lines()
    own = "{% for m in messages %}<|turn>{{ m.role }}\n{{ m.content }}<turn|>\n{% endfor %}"
    assert prompt_of("gemma4", ChatTemplate(own)).warning is None


def test_a_comment_holds_no_line_break() -> None:
    prompt = prompt_of("llama", ChatTemplate("{{ raise_exception('one\\ntwo\\rthree') }}"))
    assert all(line.startswith("#") for line in "\n".join(prompt.lines()).splitlines())


GGUF: dict[str, Any] = {
    "tokenizer.chat_template": "{{ messages }}",
    "tokenizer.ggml.tokens": ["<unk>", b"<s>", "</s>"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
}


def kvs_of(**changes: Any) -> KeyValues:
    values = GGUF | {f"tokenizer.{name}": value for name, value in changes.items()}
    return KeyValues(KV(key, "", value) for key, value in values.items())


@pytest.mark.parametrize(
    ("keys", "adds"),
    [
        ({"ggml.model": "llama"}, True),
        ({"ggml.model": "gpt2"}, False),
        ({"ggml.model": "gpt2", "ggml.pre": "llama-bpe"}, True),
        ({"ggml.model": "gpt2", "ggml.pre": "tekken", "ggml.add_bos_token": False}, False),
        ({"ggml.model": "gpt2", "ggml.add_bos_token": True}, True),
    ],
)
def test_the_tokens_of_a_gguf_file(keys: dict[str, Any], adds: bool) -> None:  # noqa: FBT001
    assert source_of(kvs_of(**keys)) == ChatTemplate("{{ messages }}", "<s>", "</s>", adds)


def test_a_gguf_file_without_template_or_tokens() -> None:
    assert source_of(KeyValues()) is None
    alone = KeyValues([string("tokenizer.chat_template", "x")])
    assert source_of(alone) == ChatTemplate("x", "", "", adds_bos=False)


ENDLESS = (
    "{% for a in range(90000) %}{% for b in range(90000) %}{% for c in range(90000) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)
HUGE = (
    "{% set ns = namespace(x='x' * 1000) %}"
    "{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
)


def test_a_template_without_end_is_given_up() -> None:
    found = translate_confined(ChatTemplate(ENDLESS), seconds=2)
    assert (found.template, found.level) == (None, None)
    assert "within 2 seconds" in found.reason


def test_a_template_without_end_stops_itself() -> None:
    """Nobody waits for it: the bound is the processor's time, in the process that renders."""
    request = {"source": asdict(ChatTemplate(ENDLESS)), "exact": False, "parent": os.getpid()}
    child = subprocess.run(
        [sys.executable, "-P", "-c", confined._CHILD, "1"],
        input=json.dumps(request).encode(),
        check=False,
    )
    assert child.returncode == -signal.SIGXCPU


def test_a_template_without_end_ends_with_a_killed_conversion() -> None:
    ask = (
        "from quantize.ollama.templates.confined import translate_confined; "
        "from quantize.ollama.templates.translate import ChatTemplate; "
        f"translate_confined(ChatTemplate({ENDLESS!r}), seconds=60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", ask])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.02)
    child = Path("/proc", found[0])
    # The signal is asked for once the request is read, which takes a part of a second.
    while _seconds_of(child) < 1:
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while child.exists() and _state_of(child) != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or _state_of(child) == "Z"


def _seconds_of(process: Path) -> float:
    """Processor time that a process has used."""
    fields = (process / "stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _state_of(process: Path) -> str:
    return (process / "stat").read_text().rpartition(") ")[2][0]


@pytest.mark.parametrize("jinja", [HUGE, "{{ 'x' * 10 ** 12 }}", "{{ 'x' | center(10 ** 11) }}"])
def test_a_template_that_fills_the_memory_is_given_up(jinja: str) -> None:
    found = translate_confined(ChatTemplate(jinja))
    assert (found.template, found.level) == (None, None)
    assert found.reason


def test_a_template_that_writes_without_end_is_stopped() -> None:
    template = JinjaTemplate("{% for a in range(90000) %}{{ '0123456789' * 10 }}{% endfor %}")
    with pytest.raises(RenderError, match=str(MAX_OUTPUT)):
        template.render([], now=DAY)


@pytest.mark.parametrize(
    "jinja",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ strftime_now.__self__.__class__.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ open('/etc/passwd') }}",
    ],
)
def test_a_template_reaches_nothing_outside_its_sandbox(jinja: str) -> None:
    with pytest.raises(RenderError):
        JinjaTemplate(jinja).render([{"role": "user", "content": "x"}], now=DAY)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RenderError):
        JinjaTemplate("{{ " + "(" * 20_000 + ")" * 20_000 + " }}")


@pytest.mark.parametrize(
    ("jinja", "prompt"),
    [
        ("{% for m in messages %}\n    {{ m.content }}\n  {% endfor %}\n", "    x\n"),
        ("{{ {'a': 'é<', 'b': [1]} | tojson }}", '{"a": "é<", "b": [1]}'),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":2,"b":1}'),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "x"),
        ("{{ strftime_now('%Y') }}{{ add_generation_prompt }}{{ tools }}", "2026TrueNone"),
        ("{{ bos_token }}{{ eos_token }}{{ unknown }}", "<s></s>"),
    ],
)
def test_jinja_is_rendered_as_transformers_does(jinja: str, prompt: str) -> None:
    template = JinjaTemplate(jinja, bos="<s>", eos="</s>")
    assert template.render([{"role": "user", "content": "x"}], now=DAY) == prompt


def test_a_child_process_gives_what_the_translation_gives() -> None:
    source = ChatTemplate(chat_templates.TOOLS, "<s>", "</s>")
    found = translate_confined(source)
    assert found == translate(source)
    assert found.level == Level(tools=True, thinking=False)


def test_a_prompt_without_anything_says_nothing() -> None:
    assert Prompt(()).lines() == []
