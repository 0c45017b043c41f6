"""The F32 file of every model makes llama.cpp compute what transformers does on the source.

Left out is what one of the two cannot compute at all; LEFT_OUT says why.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quantize.architectures import ARCHITECTURES
from tests.oracle.parity import Reference, compare
from tests.oracle.table import Row, table
from tests.support.cousins import COUSINS
from tests.support.kit_models import MODELS
from tests.support.paths import DATA

NO_CLASS = "transformers 4.57.6 has no class for it"
NOT_SAVED = "a cousin described by hand, because transformers 4.57.6 does not save one"
ENCODER_DECODER = "this llama.cpp server does not run an encoder before a decoder"
LEFT_OUT = {
    "gemma4": NO_CLASS,
    "nomic-bert": NO_CLASS,
    "llama-bidirectional": NO_CLASS,
    "vllama3": NO_CLASS,
    "t5": ENCODER_DECODER,
    "t5-lmhead": ENCODER_DECODER,
    "mt5": ENCODER_DECODER,
    "umt5": ENCODER_DECODER,
    "umt5-bare": ENCODER_DECODER,
    "phimoe": "llama.cpp has other norms and another choice of experts than Microsoft's code",
}


def _by_hand(name: str) -> bool:
    """A cousin that transformers did not make, for it has no class of the kind."""
    return "by_hand" in tomllib.loads((DATA / "cousins" / f"{name}.toml").read_text("utf-8"))


BY_HAND = tuple(name for name in COUSINS if _by_hand(name))
COMPARED = tuple(name for name in (*MODELS, *COUSINS) if name not in {*LEFT_OUT, *BY_HAND})


@pytest.fixture(scope="module")
def rows(pytestconfig: pytest.Config) -> Iterator[list[Row]]:
    """The results, written to the file that --table names when all models are there and agree."""
    found: list[Row] = []
    yield found
    file = pytestconfig.getoption("--table")
    if file is not None and sum(row.parity.holds for row in found) == len(COMPARED):
        file.write_text(table(found, {**LEFT_OUT, **dict.fromkeys(BY_HAND, NOT_SAVED)}), "utf-8")


@pytest.mark.parametrize("name", COMPARED)
def test_llama_cpp_computes_what_transformers_does(
    name: str,
    any_checkpoint: Callable[[str], Path],
    reference: Callable[[str], Reference],
    rows: list[Row],
    tmp_path: Path,
) -> None:
    checkpoint, expected = any_checkpoint(name), reference(name)
    found = compare(checkpoint, expected, tmp_path)
    rows.append(Row(name, architecture(checkpoint), expected, found))
    assert found.holds, found


def test_at_least_25_families_are_compared(any_checkpoint: Callable[[str], Path]) -> None:
    families = {ARCHITECTURES[architecture(any_checkpoint(name))].arch for name in COMPARED}
    assert len(families) >= 25


def test_what_is_left_out_is_there() -> None:
    assert {*LEFT_OUT} <= {*MODELS, *COUSINS}


def architecture(checkpoint: Path) -> str:
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    return str(config["architectures"][0])
