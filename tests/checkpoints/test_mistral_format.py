"""Checkpoints in Mistral's own format give the file of the same model in transformers' format."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from quantize import api
from quantize.errors import QuantizeError
from tests.support.cousins import Cousin, cousin
from tests.support.saved_again import Stored, copied, edit_json, read_tensors, write_tensors
from tests.support.vocab_files import tekken

__all__ = ["cousin"]

# Ours and transformers', in this order: names of the file come from mistral-inference.
NAMES = (
    ("model.embed_tokens", "tok_embeddings"),
    ("model.norm", "norm"),
    ("lm_head", "output"),
    ("model.layers", "layers"),
    ("input_layernorm", "attention_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "feed_forward.w1"),
    ("mlp.down_proj", "feed_forward.w2"),
    ("mlp.up_proj", "feed_forward.w3"),
    ("block_sparse_moe", "feed_forward"),
)
PARAMS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "hidden_dim": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "norm_eps": "rms_norm_eps",
    "vocab_size": "vocab_size",
    "max_seq_len": "max_position_embeddings",
}
YARN = {
    "yarn": {
        "factor": 4.0, "beta": 32.0, "alpha": 1.0, "original_max_position_embeddings": 1024,
        "apply_scale": False,
    },
    "llama_4_scaling": {"beta": 0.1, "original_max_position_embeddings": 1024},
    "rope_theta": 1e6,
}  # fmt: skip


def saved_by_mistral(source: Path, folder: Path, **params: Any) -> Path:
    """A checkpoint of transformers' as mistral-inference would have saved it."""
    folder.mkdir()
    config = json.loads((source / "config.json").read_text("utf-8"))
    heads, size = config["num_attention_heads"], config["hidden_size"]
    found = {theirs: config[ours] for theirs, ours in PARAMS.items()}
    found |= {"head_dim": config.get("head_dim") or size // heads}
    found |= {"rope_theta": config.get("rope_theta", 10000.0)} | params
    (folder / "params.json").write_text(json.dumps(found), "utf-8")
    turned = {"q": heads, "k": config["num_key_value_heads"]}
    tensors = {}
    for name, stored in read_tensors(source / "model.safetensors").items():
        renamed = name
        for ours, theirs in NAMES:
            renamed = renamed.replace(ours, theirs)
        projection = re.search(r"self_attn\.([qkvo])_proj", renamed)
        if projection:
            renamed = renamed.replace(projection[0], f"attention.w{projection[1]}")
        tensors[renamed] = in_pairs(stored, turned.get(projection[1]) if projection else None)
    write_tensors(folder / "consolidated.safetensors", tensors)
    shutil.copy(source / "tokenizer.model", folder)
    return folder


def in_pairs(stored: Stored, heads: int | None) -> Stored:
    """Rows that transformers keeps in halves of each head, turned together next to each other."""
    dtype, shape, data = stored
    if heads is None:
        return stored
    rows = np.frombuffer(data, np.uint8).reshape(heads, 2, shape[0] // heads // 2, -1)
    return dtype, shape, rows.swapaxes(1, 2).tobytes()


def converted(folder: Path, output: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Tensors and the architecture's key-values: config.json and others say more of a model."""
    options = api.Options(types=("F32",), output=output, jobs=1, name="same")
    reader = gguf.GGUFReader(api.convert(str(folder), options).files[0].path)
    tensors = {tensor.name: tensor.data.tobytes() for tensor in reader.tensors}
    keys = {
        key: field.contents()
        for key, field in reader.fields.items()
        if key == "general.architecture" or not key.startswith(("tokenizer.", "GGUF.", "general."))
    }
    return tensors, keys


def test_a_dense_model(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    source = checkpoint("mistral-spm")
    folder = saved_by_mistral(source, tmp_path / "own")
    assert converted(folder, tmp_path / "a") == converted(source, tmp_path / "b")


def test_experts(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    source = checkpoint("mixtral-8x")
    moe = {"num_experts": 8, "num_experts_per_tok": 2}
    folder = saved_by_mistral(source, tmp_path / "own", moe=moe)
    found, keys = converted(folder, tmp_path / "a")
    # Mixtral's config.json leaves it to be computed, as llama.cpp does, too.
    for name in ("key_length", "value_length"):
        assert keys.pop(f"llama.attention.{name}") == 32
    assert (found, keys) == converted(source, tmp_path / "b")


def test_ministral_3(cousin: Callable[[str], Cousin], tmp_path: Path) -> None:
    source = cousin("ministral3").checkpoint
    folder = saved_by_mistral(source, tmp_path / "own", **YARN)
    assert converted(folder, tmp_path / "a") == converted(source, tmp_path / "b")


def test_what_sees_is_left_out(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    source = checkpoint("mistral-spm")
    folder = saved_by_mistral(source, tmp_path / "own", vision_encoder={})
    tensors = read_tensors(folder / "consolidated.safetensors")
    norm = tensors["norm.weight"]
    tensors |= {"vision_encoder.ln_pre.weight": norm, "patch_merger.merging_layer.weight": norm}
    write_tensors(folder / "consolidated.safetensors", tensors)
    assert converted(folder, tmp_path / "a") == converted(source, tmp_path / "b")


def test_fp8_has_one_scale_for_a_matrix(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    quantization = {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}
    folder = saved_by_mistral(
        checkpoint("mistral-spm"), tmp_path / "own", quantization=quantization
    )
    file = folder / "consolidated.safetensors"
    tensors = read_tensors(file)
    name = "layers.0.feed_forward.w2"
    _, shape, _ = tensors[f"{name}.weight"]
    one = b"\x38"  # 1.0 in E4M3
    number: Stored = ("F32", [], np.float32(0.5).tobytes())
    tensors[f"{name}.weight"] = ("F8_E4M3", shape, one * (shape[0] * shape[1]))
    tensors |= {f"{name}.qscale_weight": number, f"{name}.qscale_act": number}
    write_tensors(file, tensors)
    values, _ = converted(folder, tmp_path / "out")
    assert set(np.frombuffer(values["blk.0.ffn_down.weight"], np.float32)) == {0.5}


def tokenizer_of(folder: Path, output: Path) -> dict[str, Any]:
    options = api.Options(types=("F16",), output=output, jobs=1)
    reader = gguf.GGUFReader(api.convert(str(folder), options).files[0].path)
    return {
        key.removeprefix("tokenizer."): field.contents()
        for key, field in reader.fields.items()
        if key.startswith("tokenizer.")
    }


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("tokenizer.model", "mistral-v1"),
        ("tokenizer.model.v3", "mistral-v3"),
        ("tokenizer.model.v7m1", "mistral-v7"),
        ("tokenizer.model.v2", None),
    ],
)
def test_the_name_of_the_pieces_decides_the_template(
    name: str, template: str | None, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = saved_by_mistral(checkpoint("mistral-spm"), tmp_path / "own")
    (folder / "tokenizer.model").rename(folder / name)
    found = tokenizer_of(folder, tmp_path / "out")
    assert found.get("chat_template") == template
    ids = [found[f"ggml.{kind}_token_id"] for kind in ("unknown", "bos", "eos", "padding")]
    assert ids == [0, 1, 2, 2]
    assert (found["ggml.model"], found["ggml.add_bos_token"]) == ("llama", True)


def test_tekken(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = saved_by_mistral(checkpoint("mistral-spm"), tmp_path / "own")
    file = folder / "consolidated.safetensors"
    size = tekken()["config"]["default_vocab_size"]
    edit_json(folder / "params.json", lambda params: params.update(vocab_size=size))
    tensors = read_tensors(file)
    for name in ("tok_embeddings.weight", "output.weight"):
        dtype, (rows, cols), data = tensors[name]
        tensors[name] = (dtype, [size, cols], data[: len(data) // rows * size])
    write_tensors(file, tensors)
    (folder / "tekken.json").write_text(json.dumps(tekken()), "utf-8")
    found = tokenizer_of(folder, tmp_path / "out")
    assert (found["ggml.model"], found["ggml.pre"]) == ("gpt2", "tekken")
    assert len(found["ggml.tokens"]) == size


def test_consolidated_weights_with_transformers_names_are_read(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("mistral-spm"), tmp_path)
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    assert converted(folder, tmp_path / "a") == converted(checkpoint("mistral-spm"), tmp_path / "b")


def test_the_version_of_transformers_is_taken_where_both_are_there(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("mistral-spm"), tmp_path)
    (folder / "params.json").write_text("{}", "utf-8")
    (folder / "consolidated.safetensors").write_bytes(b"")
    assert converted(folder, tmp_path / "a") == converted(checkpoint("mistral-spm"), tmp_path / "b")


REFUSED: Mapping[str, tuple[dict[str, Any], str]] = {
    "no context length": ({"max_seq_len": None}, "missing-hparam"),
    "no size": ({"dim": None}, "bad-params"),
    "experts that are a number": ({"moe": 8}, "bad-params"),
    "latent attention": ({"kv_lora_rank": 512}, "unknown-mistral-format"),
    "yarn alone": ({"yarn": YARN["yarn"]}, "unknown-mistral-format"),
    "a scaling without yarn": ({"llama_4_scaling": {"beta": 0.1}}, "bad-params"),
    "unknown weights": ({"quantization": {"qformat_weight": "int4"}}, "unknown-mistral-format"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused(
    what: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    changes, code = REFUSED[what]
    folder = saved_by_mistral(checkpoint("mistral-spm"), tmp_path / "own", **changes)
    edit_json(folder / "params.json", drop_nulls)
    with pytest.raises(QuantizeError) as caught:
        api.plan(str(folder), api.Options(types=("F16",)))
    assert (caught.value.code, caught.value.where) == (code, "params.json")


def drop_nulls(params: dict[str, Any]) -> None:
    for key in [key for key, value in params.items() if value is None]:
        del params[key]


def test_params_json_that_is_a_list_is_refused(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = saved_by_mistral(checkpoint("mistral-spm"), tmp_path / "own")
    (folder / "params.json").write_text("[]", "utf-8")
    with pytest.raises(QuantizeError) as caught:
        api.plan(str(folder), api.Options(types=("F16",)))
    assert caught.value.code == "bad-params"
