"""Every family gives llama.cpp's key-values, tensor names, shapes and values for its kit models.

Types and whole files are test_conformance's; here the float32 values that are quantized.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize.architectures import ARCHITECTURES
from quantize.architectures.family import Family
from quantize.architectures.hparams import Hparams, lift_text_part
from quantize.architectures.keys import key_values
from quantize.architectures.mapping import map_tensors
from quantize.checkpoints.checkpoint import open_checkpoint
from quantize.errors import CheckpointError
from quantize.formats.kv import KV
from quantize.storage.local import LocalFolder
from quantize.tensors import Shape, as_rows
from quantize.transforms import apply_whole
from quantize.vocab import LOADERS
from tests.support.kit_models import MODELS

F32Array = NDArray[np.float32]


class Model:
    """A kit model read by its family, and what llama.cpp made of it."""

    def __init__(self, name: str, folder: Path, kit: Path) -> None:
        self.checkpoint = open_checkpoint(LocalFolder(folder), name)
        self.family: Family = ARCHITECTURES[self.checkpoint.config["architectures"][0]]
        config = lift_text_part(self.checkpoint.config)
        shapes = {name: weight.shape for name, weight in self.checkpoint.weights.items()}
        filled = self.family.filled(config)
        self.hparams = Hparams(filled, shapes, self.checkpoint.read_json)
        text = (kit / "expected" / f"{name}.json").read_text("utf-8")
        self.expected: dict[str, Any] = json.loads(text)

    def tensors(self) -> Iterator[tuple[str, F32Array]]:
        for tensor in map_tensors(self.family, self.hparams):
            sources = [self._decoded(name) for name in tensor.sources]
            made = apply_whole(tensor.transform, sources)
            assert made.shape == tensor.shape, f"{tensor.name}: the plan's shape is not the data's"
            yield tensor.name, made
        for extra in self.family.generated(self.hparams):
            yield extra.name, extra.values

    def _decoded(self, name: str) -> F32Array:
        shape = self.checkpoint.weights[name].shape
        return self.checkpoint.decode_rows(name, 0, as_rows(shape)[0]).reshape(shape)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path], kit: Path) -> Model:
    return Model(request.param, checkpoint(request.param), kit)


def test_the_kit_holds_these_models(kit: Path) -> None:
    assert sorted(path.name for path in (kit / "models").iterdir()) == sorted(MODELS)


def test_key_values_are_those_of_llama_cpp_in_its_order(model: Model) -> None:
    family = model.family
    made = key_values((*family.early, *family.keys), family.arch, model.hparams)
    expected = [
        (kv["key"], kv["type"], kv.get("value"))
        for kv in model.expected["kv"]
        if kv["key"].startswith(f"{family.arch}.")
    ]
    assert [_comparable(kv) for kv in made] == expected


def _comparable(kv: KV) -> tuple[str, str, Any]:
    value = kv.value
    if kv.type == "FLOAT32":
        (value,) = struct.unpack("<f", struct.pack("<f", value))
    return kv.key, kv.type, list(value) if isinstance(value, tuple) else value


def test_tensors_are_those_of_llama_cpp(model: Model) -> None:
    """By name and shape; of each that is written from float32, the values to the last bit."""
    missing = dict(model.expected["tensors"])
    for name, values in model.tensors():
        tensor = missing.pop(name)
        assert list(reversed(values.shape)) == tensor["ne"], name
        # MXFP4 experts are moved as blocks and never written as floats.
        if "F32" not in tensor["sha256"]:
            assert set(tensor["sha256"]) == {"MXFP4"}, name
            continue
        data = values.astype("<f4").tobytes()
        if "f32_base64" in tensor:
            # exp and pow of different libraries differ in the last place; check.py allows as much.
            reference = np.frombuffer(base64.b64decode(tensor["f32_base64"]), "<f4")
            np.testing.assert_allclose(values.ravel(), reference, rtol=2e-6, atol=0, err_msg=name)
        else:
            assert hashlib.sha256(data).hexdigest() == tensor["sha256"]["F32"], name
    assert not missing, "tensors that llama.cpp has and we have not"


def test_a_tensor_more_is_refused_by_name(model: Model) -> None:
    hp = _with_shapes(model, {**model.hparams.shapes, "model.layers.0.new_thing.weight": (4, 4)})
    with pytest.raises(CheckpointError, match="new_thing") as caught:
        map_tensors(model.family, hp)
    assert caught.value.code == "unmapped-tensors"


def test_a_missing_embedding_is_refused_by_name(model: Model) -> None:
    (embedding,) = (
        tensor.sources[0]
        for tensor in map_tensors(model.family, model.hparams)
        if tensor.name == "token_embd.weight"
    )
    shapes = {name: shape for name, shape in model.hparams.shapes.items() if name != embedding}
    with pytest.raises(CheckpointError) as caught:
        map_tensors(model.family, _with_shapes(model, shapes))
    assert caught.value.code == "missing-tensors"
    assert caught.value.where is not None
    assert embedding.endswith(caught.value.where)


@pytest.fixture
def llama(checkpoint: Callable[[str], Path], kit: Path) -> Model:
    return Model("llama2-spm", checkpoint("llama2-spm"), kit)


def test_wrappers_around_the_model_do_not_matter(llama: Model) -> None:
    """As saved from the model without its head, or as the text part of a multimodal one."""
    expected = [(tensor.name, tensor.shape) for tensor in map_tensors(llama.family, llama.hparams)]
    for wrapper in ("", "model.language_model.", "language_model.model."):
        original = llama.hparams.shapes
        shapes = {name.replace("model.", wrapper, 1): original[name] for name in original}
        made = map_tensors(llama.family, _with_shapes(llama, shapes))
        assert [(tensor.name, tensor.shape) for tensor in made] == expected


def test_two_tensors_of_one_name_are_refused(llama: Model) -> None:
    norm = llama.hparams.shapes["model.norm.weight"]
    hp = _with_shapes(llama, {**llama.hparams.shapes, "norm.weight": norm})
    with pytest.raises(CheckpointError, match="two source tensors") as caught:
        map_tensors(llama.family, hp)
    assert caught.value.code == "doubly-mapped-tensors"


def test_tensors_that_cannot_be_what_config_json_says_are_refused(llama: Model) -> None:
    name = "model.layers.1.self_attn.q_proj.weight"
    hp = _with_shapes(llama, {**llama.hparams.shapes, name: (257, 256)})
    with pytest.raises(CheckpointError, match=r"blk\.1\.attn_q\.weight") as caught:
        map_tensors(llama.family, hp)
    assert caught.value.code == "shape-mismatch"


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_attention_heads"])
def test_a_missing_hparam_is_named(llama: Model, key: str) -> None:
    config = {name: value for name, value in llama.hparams.items() if name != key}
    with pytest.raises(CheckpointError, match=key) as caught:
        map_tensors(llama.family, Hparams(config, llama.hparams.shapes))
    assert caught.value.code == "missing-hparam"


def test_an_hparam_of_another_type_is_refused(llama: Model) -> None:
    hp = Hparams({**llama.hparams, "rms_norm_eps": "small"}, llama.hparams.shapes)
    with pytest.raises(CheckpointError, match="layer_norm_rms_epsilon") as caught:
        key_values(llama.family.keys, llama.family.arch, hp)
    assert caught.value.code == "bad-hparam"


def _with_shapes(model: Model, shapes: dict[str, Shape]) -> Hparams:
    return Hparams(dict(model.hparams), shapes, model.checkpoint.read_json)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_tokenizer_models_exist(name: str) -> None:
    family = ARCHITECTURES[name]
    assert family.vocab
    assert set(family.vocab) <= set(LOADERS)
