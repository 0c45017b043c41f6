"""The comparison with transformers notices mappings that lose what a transform does."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from quantize.architectures import ARCHITECTURES
from quantize.architectures.family import TensorRule
from quantize.architectures.hparams import Hparams
from quantize.transforms import IDENTITY, Add, PermuteRope, Transform, Ungroup
from tests.oracle.parity import Reference, compare


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("llama31-bpe", PermuteRope),
        ("olmo", PermuteRope),
        ("granite", PermuteRope),
        ("gemma", Add),
        ("gemma3-text", Add),
        ("nemotron", Add),
        ("gptneox", Ungroup),
    ],
)
def test_a_lost_transform_is_noticed(
    name: str,
    lost: type[Transform],
    any_checkpoint: Callable[[str], Path],
    reference: Callable[[str], Reference],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    checkpoint = any_checkpoint(name)
    assert compare(checkpoint, reference(name), tmp_path / "right").holds
    lose(lost, checkpoint, monkeypatch)
    assert not compare(checkpoint, reference(name), tmp_path / "wrong").holds


def lose(lost: type[Transform], checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checkpoint's family leave tensors as they are where it has `lost`."""
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    module, _, attribute = ARCHITECTURES.table[config["architectures"][0]].partition(":")
    family = ARCHITECTURES[config["architectures"][0]]

    def rules(hp: Hparams) -> Iterable[TensorRule]:
        for rule in family.rules(hp):
            spoiled = isinstance(rule.transform, lost)
            yield replace(rule, transform=IDENTITY) if spoiled else rule

    wrong = replace(family, rules=rules)
    monkeypatch.setattr(importlib.import_module(module), attribute, wrong)
