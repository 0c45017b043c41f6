"""What a file of the text part alone says about the parts that see, hear or speak."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from tests.support.cousins import Cousin, cousin

__all__ = ["cousin"]

SAID = "the file takes text alone"


def notes_of(checkpoint: Path) -> list[str]:
    planned = api.plan(str(checkpoint), api.Options(types=("Q4_K_M",)))
    return [note for note in planned.notes if SAID in note]


def stored_names(checkpoint: Path) -> list[str]:
    header = (checkpoint / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    return [name for name in json.loads(header[8 : 8 + length]) if name != "__metadata__"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("qwen3-vl", ("visual.",)),
        ("gemma4-mm", ("vision_tower.", "audio_tower.", "embed_vision.", "embed_audio.")),
        ("llama4-mm", ("vision_model.", "multi_modal_projector.")),
    ],
)
def test_one_line_counts_the_tensors_that_are_left_out(
    name: str, parts: tuple[str, ...], cousin: Callable[[str], Cousin]
) -> None:
    checkpoint = cousin(name).checkpoint
    others = [one for one in stored_names(checkpoint) if any(part in one for part in parts)]
    (said,) = notes_of(checkpoint)
    assert others
    assert f"({len(others)} tensors, such as " in said
    assert any(f" {one})" in said for one in others)


def test_a_model_of_text_says_nothing_of_pictures(cousin: Callable[[str], Cousin]) -> None:
    assert notes_of(cousin("mellum").checkpoint) == []
