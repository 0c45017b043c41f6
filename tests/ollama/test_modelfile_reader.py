"""The reader that judges our Modelfiles follows Ollama's grammar, trap by trap."""

from __future__ import annotations

import pytest

from tests.support.modelfile_reader import Line, ModelfileError, read_modelfile


def system(text: str) -> str:
    """The value of SYSTEM in a Modelfile with `text` after "SYSTEM "."""
    lines = read_modelfile(f"FROM x\nSYSTEM {text}".encode())
    return next(line.value for line in lines if line.word == "system")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("x # y", "x # y"),
        ("\nFROM z", ""),
        ("   x  ", "x"),
        ('"say "hi" now"', 'say "hi" now'),
        ('"a\nb"', "a\nb"),
        ('"a\r\nb"', "a\r\nb"),
        ('"""a"""b\nc"""', 'a"""b\nc'),
        ('"""foo""""', 'foo"'),
        ('""""""', ""),
        ('""', ""),
        ('"""\n x \n"""', "\n x \n"),
        (r'"a\nb"', r"a\nb"),
        ("'x'", "'x'"),
        ("a\u00a0b\u200dc\u3000d\u2028e\ue000f\x0cg\x00h", "abcdefgh"),
        ("\uff5c\u2581", "\uff5c\u2581"),
    ],
)
def test_values(written: str, value: str) -> None:
    assert system(written) == value


@pytest.mark.parametrize(
    "text",
    [
        'FROM x\nSYSTEM """x"""y',
        'FROM x\nSYSTEM "x',
        "FROM x\nSYSTEM\n",
        "FROM x\nHELLO x",
        "FROM x\nPARAMETER  stop x",
        "FROM x\nPARAMETER tfs_z 1",
        "SYSTEM x",
    ],
)
def test_refusals(text: str) -> None:
    with pytest.raises(ModelfileError):
        read_modelfile(text.encode())


def test_commands_in_any_case_with_comments_between() -> None:
    text = '\ufeff# PARAMETER top_k 1\n\n  from ./a b.gguf\r\nPARAMETER stop "\n"\n# end'
    assert read_modelfile(text.encode()) == [
        Line("from", "", "./a b.gguf"),
        Line("parameter", "stop", "\n"),
    ]
