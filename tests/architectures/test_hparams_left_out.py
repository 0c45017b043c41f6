"""A name that config.json does not have: the class's own value counts, or it is asked for.

Each hparam of each config of kit and cousins is taken away in turn. hparam_defaults.json has what
transformers says of it then (scripts/write_hparam_defaults.py).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quantize import api
from quantize.architectures import ARCHITECTURES
from quantize.architectures.hparams import Hparams, lift_text_part
from quantize.architectures.keys import full_name, key_values
from quantize.architectures.mapping import map_tensors
from quantize.architectures.needed import check_needed, needed_keys
from quantize.checkpoints.checkpoint import open_checkpoint
from quantize.errors import CheckpointError, QuantizeError
from quantize.storage.local import LocalFolder
from tests.support.cousins import COUSINS, Cousin, cousin
from tests.support.kit_models import MODELS
from tests.support.paths import DATA

__all__ = ["cousin"]

DEFAULTS: Mapping[str, Mapping[str, Any]] = json.loads(
    (DATA / "hparam_defaults.json").read_text("utf-8")
)
Outcome = object


class Described:
    """A checkpoint's config and shapes, from which what is made of them is told."""

    def __init__(self, folder: Path) -> None:
        checkpoint = open_checkpoint(LocalFolder(folder), folder.name)
        self.config = lift_text_part(checkpoint.config)
        self.shapes = {name: weight.shape for name, weight in checkpoint.weights.items()}
        self.read_json = checkpoint.read_json

    def outcome(self, config: dict[str, Any]) -> Outcome:
        """All key-values and tensors of the architecture; or that it is refused."""
        try:
            family = ARCHITECTURES[config["architectures"][0]].for_config(config)
            hp = Hparams(family.filled(config), self.shapes, self.read_json)
            mapped = map_tensors(family, hp)
            rows = (*family.early, *family.keys)
            kvs = key_values(rows, family.arch, hp)
            check_needed(family.arch, rows, kvs)
        except (QuantizeError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return "refused"
        return family.arch, kvs, [(tensor.name, tensor.shape, tensor.sources) for tensor in mapped]


@pytest.fixture
def described(
    request: pytest.FixtureRequest,
    checkpoint: Callable[[str], Path],
    cousin: Callable[[str], Cousin],
) -> Described:
    name: str = request.param
    return Described(checkpoint(name) if name in MODELS else cousin(name).checkpoint)


@pytest.mark.parametrize(
    ("described", "name"), [(name, name) for name in DEFAULTS], indirect=["described"]
)
def test_what_is_not_said_is_what_the_class_has(described: Described, name: str) -> None:
    wrong = []
    for key, value in DEFAULTS[name].items():
        silent = {other: said for other, said in described.config.items() if other != key}
        if described.outcome(silent) != described.outcome({**silent, key: value}):
            wrong.append((key, value))
    assert not wrong, name


# From reports of users: the file could not be loaded, and nobody had said why.
REPORTED = [
    ("llama31-bpe", "rms_norm_eps", "llama.attention.layer_norm_rms_epsilon", 1e-6),
    ("qwen2-tied", "max_position_embeddings", "qwen2.context_length", 32768),
    ("qwen2-audio", "num_attention_heads", None, None),
    ("llama31-bpe", "hidden_size", None, None),
]


@pytest.mark.parametrize(("name", "key", "written", "value"), REPORTED)
def test_a_whole_plan_has_the_default_or_says_what_is_missing(
    name: str,
    key: str,
    written: str | None,
    value: object,
    checkpoint: Callable[[str], Path],
    cousin: Callable[[str], Cousin],
    tmp_path: Path,
) -> None:
    """Where the default does not fit the weights, they are named."""
    folder = checkpoint(name) if name in MODELS else cousin(name).checkpoint
    silent = taken_away(folder, tmp_path / name, key)
    if written is not None:
        kvs = api.plan(str(silent), api.Options(types=("F16",))).plans[0].kvs
        assert kvs.value(written) == value
        return
    with pytest.raises(CheckpointError) as caught:
        api.plan(str(silent), api.Options(types=("F16",)))
    assert caught.value.where


def test_where_no_class_is_known_it_is_asked_for(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    silent = taken_away(checkpoint("llama31-bpe"), tmp_path / "m", "model_type", "rms_norm_eps")
    with pytest.raises(CheckpointError, match="rms_norm_eps or norm_eps") as caught:
        api.plan(str(silent), api.Options(types=("F16",)))
    assert caught.value.code == "missing-hparam"
    assert "llama.attention.layer_norm_rms_epsilon" in (caught.value.reason or "")


def taken_away(folder: Path, copy: Path, *keys: str) -> Path:
    """A copy of the checkpoint whose config.json has none of `keys`."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text("utf-8"))
    for holder in (config, config.get("text_config", {})):
        for key in keys:
            holder.pop(key, None)
    (copy / "config.json").write_text(json.dumps(config), "utf-8")
    return copy


@pytest.mark.parametrize("name", [*MODELS, *COUSINS])
def test_llama_cpps_own_files_have_what_it_needs(
    name: str, kit: Path, cousin: Callable[[str], Cousin]
) -> None:
    """The table says nothing that the converter's files contradict."""
    path = kit / "expected" / f"{name}.json" if name in MODELS else cousin(name).expected
    content = json.loads(path.read_text("utf-8"))
    arch = content["architecture"]
    present = {kv["key"] for kv in content["kv"]}
    assert {full_name(arch, key) for key in needed_keys(arch, ())} <= present
