"""What the Modelfile says, and that Ollama's reader gets back exactly what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.errors import EXIT_USAGE, UsageError
from quantize.ollama.modelfile.prompt import Prompt
from quantize.ollama.modelfile.writing import license_file, modelfile
from quantize.ollama.quoting import is_representable, quoted, rewritten
from tests.support.modelfile_reader import Line, ModelfileError, read_modelfile

# Texts made of what the grammar cares about, and texts of everything.
TRICKY = st.text(st.sampled_from('"""\'# \t\r\n\\\u00a0\u200d\u3000\x0cab\uff5c'), max_size=30)
TEXTS = st.one_of(TRICKY, st.text(max_size=30))
STOP = Line("parameter", "stop", "")


def read(text: str) -> list[Line]:
    return read_modelfile(text.encode())


def stops_of(text: str) -> list[str]:
    return [line.value for line in read(text) if line[:2] == STOP[:2]]


def parameters(generation: dict[str, Any]) -> dict[str, str]:
    lines = read(modelfile("m.gguf", generation=generation))
    return {line.name: line.value for line in lines if line.word == "parameter"}


def test_a_chat_model() -> None:
    text = modelfile(
        "tiny-Q4_K_M.gguf",
        ends={"<|eot_id|>": ["config.json", "a.json"], "<|end_of_text|>": ["config.json"]},
        generation={"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2},
        license_text=b"Permission is granted.\r\n\r\nEnd.\r\n",
        prompt=Prompt(("Said of the prompt.",), "{{ .Prompt }}"),
    )
    assert text == (
        "FROM ./tiny-Q4_K_M.gguf\n"
        "\n"
        "# Said of the prompt.\n"
        'TEMPLATE "{{ .Prompt }}"\n'
        "\n"
        "# The tokens that end a turn, each under what says so.\n"
        "# config.json, a.json\n"
        'PARAMETER stop "<|eot_id|>"\n'
        "# config.json\n"
        'PARAMETER stop "<|end_of_text|>"\n'
        "\n"
        "# From generation_config.json.\n"
        "PARAMETER temperature 0.6\n"
        "PARAMETER top_p 0.9\n"
        "\n"
        'LICENSE """Permission is granted.\n'
        "\n"
        'End."""\n'
    )


def test_an_embedder_has_neither_stops_nor_sampling() -> None:
    text = modelfile("m.gguf", ends={"[SEP]": ["x"]}, generation={"top_k": 3}, is_embedder=True)
    assert read(text) == [Line("from", "", "./m.gguf")]


def test_a_model_without_chat_template_says_so() -> None:
    assert "# The model has no chat template" in modelfile("m.gguf")


def test_parameters_have_ollamas_names_and_types() -> None:
    assert parameters(
        {
            "temperature": 1,
            "top_k": 20.0,
            "top_p": 0.95,
            "min_p": 1e-05,
            "typical_p": 1.0,
            "repetition_penalty": 1.05,
            "max_length": 4096,
            "pad_token_id": 0,
        }
    ) == {
        "temperature": "1",
        "top_k": "20",
        "top_p": "0.95",
        "min_p": "1e-05",
        "typical_p": "1.0",
        "repeat_penalty": "1.05",
    }


def test_where_sampling_is_off_only_the_penalty_stays() -> None:
    generation = {"do_sample": False, "temperature": 0.7, "top_k": 5, "repetition_penalty": 1.1}
    text = modelfile("m.gguf", generation=generation)
    assert [line for line in read(text) if line.word == "parameter"] == [
        Line("parameter", "repeat_penalty", "1.1")
    ]
    assert "do_sample is false there, so its temperature, top_k had no effect" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", "0.7\nSYSTEM no"),
        ("temperature", True),
        ("temperature", float("nan")),
        ("temperature", 10**400),
        ("top_p", float("inf")),
        ("top_k", 1.5),
        ("top_k", [40]),
    ],
)
def test_a_value_of_the_wrong_kind_is_left_out_and_named(key: str, value: object) -> None:
    text = modelfile("m.gguf", generation={key: value})
    assert read(text) == [Line("from", "", "./m.gguf")]
    assert f"# {key} is left out" in text


def test_a_null_is_no_value() -> None:
    assert modelfile("m.gguf", generation={"temperature": None}) == modelfile("m.gguf")


@given(st.lists(TEXTS, max_size=5), st.one_of(st.none(), TEXTS))
def test_the_reader_gets_what_was_meant(stops: list[str], license_text: str | None) -> None:
    content = None if license_text is None else license_text.encode()
    text = modelfile("m.gguf", ends=dict.fromkeys(stops, ("x",)), license_text=content)
    assert stops_of(text) == [stop for stop in dict.fromkeys(stops) if is_representable(stop)]
    assert text.count("is left out") >= sum(not is_representable(stop) for stop in set(stops))
    if license_text is not None:
        lines = license_text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        found = [line.value for line in read(text) if line.word == "license"]
        if not lines.strip():
            assert found == []
        elif is_representable(lines.strip()):
            assert found == [lines.strip()]
        else:
            assert found == [rewritten(lines.strip())]
            assert "are replaced" in text


@given(TEXTS)
def test_a_representable_text_comes_back_and_no_other_could(text: str) -> None:
    def comes_back(value: str) -> bool:
        try:
            lines = read(f"SYSTEM {value}\nFROM ./m.gguf\n")
        except ModelfileError:
            return False
        return lines == [Line("system", "", text), Line("from", "", "./m.gguf")]

    if is_representable(text):
        assert comes_back(quoted(text))
    else:
        forms = (text, f'"{text}"', f'"""{text}"""')
        assert not any(comes_back(form) for form in forms)
        with pytest.raises(ValueError, match="cannot hold"):
            quoted(text)


@given(TEXTS)
def test_a_rewritten_text_is_representable_and_near(text: str) -> None:
    assert is_representable(rewritten(text))
    if is_representable(text):
        assert rewritten(text) == text


def test_what_rewriting_does() -> None:
    assert rewritten("a\u00a0b\u200bc\x0cd") == "a bc d"
    assert rewritten('x"""\ny"""z') == "x'''\ny'''z"


def test_a_license_in_latin_1_keeps_its_letters() -> None:
    text = modelfile("m.gguf", license_text="\u00a9 M\u00fcller".encode("latin-1"))
    assert read(text)[-1] == Line("license", "", "\u00a9 M\u00fcller")


@pytest.mark.parametrize("name", ["a\u00a0b.gguf", "a\nSYSTEM x.gguf", " a.gguf", "a.gguf\t"])
def test_a_file_that_a_modelfile_cannot_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        modelfile(name)
    assert raised.value.code == "bad-file-name"
    assert raised.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("name", ["a b.gguf", "#x.gguf", '"a".gguf', "m\u00fc.gguf"])
def test_other_names_need_no_quotes(name: str) -> None:
    assert read(modelfile(name)) == [Line("from", "", f"./{name}")]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["README.md", "LICENSE"], "LICENSE"),
        (["LICENSE.txt", "license"], "license"),
        (["License.md", "COPYING"], "License.md"),
        (["LICENSE_NOTES.pdf", "config.json"], None),
    ],
)
def test_which_file_is_the_license(names: list[str], found: str | None) -> None:
    assert license_file(names) == found
