"""The groups of options: values of the right kind, and one declaration for flag and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from quantize.cli import build_app
from quantize.errors import UsageError
from quantize.options import CompareOptions, Options, PlanOptions, VerifyOptions
from quantize.options.declare import Group
from quantize.options.run import RunOptions

COMMANDS: dict[str, type[Group]] = {
    "convert": Options,
    "plan": PlanOptions,
    "compare": CompareOptions,
    "verify": VerifyOptions,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_field_is_a_flag_of_its_command(name: str) -> None:
    program: Any = typer.main.get_command(build_app())
    shown = {flag for one in program.commands[name].params for flag in one.opts}
    flags = COMMANDS[name].flags()
    assert flags
    assert {flag for one in flags.values() for flag in one.names} <= shown


def test_values_have_one_form_whatever_a_program_writes() -> None:
    options = Options(types=["Q4_K_M"], max_memory="600MB", output="out", recipe=[Path("a")])
    assert options.types == ("Q4_K_M",)
    assert options.memory_bound == 600_000_000
    assert options.folder == Path("out")
    assert options.recipe == (Path("a"),)
    assert Options(max_memory=5).memory_bound == 5
    assert Options(kernels="numpy").kernels == "numpy"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"types": "Q4_K_M"}, "bad-option"),
        ({"recipe": Path("a")}, "bad-option"),
        ({"types": [4]}, "bad-option"),
        ({"jobs": "2"}, "bad-option"),
        ({"jobs": True}, "bad-option"),
        ({"fresh": 1}, "bad-option"),
        ({"output": 3}, "bad-option"),
        ({"bits": "4"}, "bad-option"),
        ({"max_memory": "much"}, "bad-size"),
    ],
)
def test_values_of_another_kind_are_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        Options(**values)
    assert caught.value.code == code


def test_a_room_gets_its_own_group_alone() -> None:
    part = Options(jobs=3, kernels="numpy", token="secret", report=True).part(RunOptions)
    assert part == RunOptions(jobs=3, kernels="numpy", report=True)
    assert not hasattr(part, "token")


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Options(token="secret"))
