"""Configs and tensors as transformers 5 saves them (make oracle-resaved found each of these)."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from quantize.architectures import ARCHITECTURES
from quantize.architectures.family import Family
from quantize.architectures.hparams import Hparams, lift_text_part
from quantize.architectures.keys import key_values
from quantize.architectures.mapping import map_tensors
from quantize.tensors import Shape
from tests.support.paths import DATA

Described = tuple[dict[str, Any], dict[str, Shape]]

WORDS = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}


def cousin(name: str) -> Described:
    """Config and shapes of its checkpoint."""
    with tarfile.open(DATA / "cousins" / f"{name}.tar.xz") as archive:
        config, skeleton = (
            json.load(archive.extractfile(f"models/{name}/{file}") or io.BytesIO())
            for file in ("config.json", "skeleton.json")
        )
    return config, {one["name"]: tuple(one["shape"]) for one in skeleton["tensors"]}


def made(config: dict[str, Any], shapes: dict[str, Shape]) -> tuple[Family, list[Any], list[Any]]:
    lifted = lift_text_part(config)
    family = ARCHITECTURES[config["architectures"][0]].for_config(lifted)
    hp = Hparams(family.filled(lifted), shapes)
    tensors = [(one.name, one.shape, one.sources) for one in map_tensors(family, hp)]
    return family, key_values((*family.early, *family.keys), family.arch, hp), tensors


@pytest.mark.parametrize("name", ["nemotron-h", "nemotron-h-moe"])
def test_blocks_in_words_say_how_many_there_are(name: str) -> None:
    config, shapes = cousin(name)
    expected = made(config, shapes)
    pattern = config.pop("hybrid_override_pattern", None) or config["layers_block_type"]
    words = [WORDS.get(kind, kind) for kind in pattern]
    del config["num_hidden_layers"]
    saved = {**config, "layers_block_type": words}
    if name == "nemotron-h":  # a model without experts gets the numbers of the class
        saved |= {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 7688}
    found = made(saved, shapes)
    assert found[0].arch == expected[0].arch
    assert found[1:] == expected[1:]


@pytest.mark.parametrize("name", ["granitemoe-hybrid", "granite4-dense"])
def test_attention_has_a_longer_name(name: str) -> None:
    config, shapes = cousin(name)
    longer = {"attention": "full_attention", "mamba": "linear_attention"}
    saved = {**config, "layer_types": [longer[kind] for kind in config["layer_types"]]}
    assert made(saved, shapes) == made(config, shapes)


def test_experts_of_a_layer_may_be_the_other_way_round() -> None:
    config, shapes = cousin("qwen3-vlmoe")
    turned = {
        name: (shape[0], shape[2], shape[1]) if ".experts." in name else shape
        for name, shape in shapes.items()
    }
    assert made(config, turned) == made(config, shapes)
