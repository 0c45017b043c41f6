"""What these families do with variants of their models that the kit has no example of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import key_values
from quantize.errors import CheckpointError, UnsupportedError
from quantize.transforms import apply_whole
from tests.support.variants import Variant


@pytest.mark.parametrize("name", ["qwen2moe-8x", "qwen3moe", "qwen3next"])
def test_experts_in_one_tensor_are_the_same_as_one_by_one(kit: Path, name: str) -> None:
    """transformers 5 saves a layer's experts as gate_up_proj and down_proj."""
    one_by_one = Variant(kit, name)
    expected = {name: tensor.shape for name, tensor in one_by_one.tensors().items()}
    fused = Variant(kit, name)
    count, size = fused.config["num_experts"], fused.config["moe_intermediate_size"]
    embd = fused.config["hidden_size"]
    stems = {n.split(".0.gate_proj")[0] for n in fused.shapes if ".experts.0.gate_proj" in n}
    fused.shapes = {n: s for n, s in fused.shapes.items() if ".experts." not in n}
    for stem in stems:
        fused.shapes[f"{stem}.gate_up_proj"] = (count, 2 * size, embd)
        fused.shapes[f"{stem}.down_proj"] = (count, embd, size)
    tensors = fused.tensors()
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected

    both = np.arange(count * 2 * size * embd, dtype=np.float32).reshape(count, 2 * size, embd)
    for part, rows in (("gate", slice(None, size)), ("up", slice(size, None))):
        transform = tensors[f"blk.0.ffn_{part}_exps.weight"].transform
        np.testing.assert_array_equal(apply_whole(transform, [both]), both[:, rows])


def _seeing(model: Variant, architecture: str, prefix: str, mrope: list[int]) -> Variant:
    """The model as the text part of a multimodal checkpoint."""
    text = dict(model.config, rope_scaling={"rope_type": "default", "mrope_section": mrope})
    model.config = {
        "architectures": [architecture],
        "text_config": {key: value for key, value in text.items() if key != "architectures"},
        "vision_config": {"deepstack_visual_indexes": [8, 16, 24], "hidden_size": 1152},
    }
    model.rename("model.", prefix)
    tower = prefix.removesuffix("language_model.")
    model.shapes |= {
        f"{tower}visual.blocks.0.attn.qkv.weight": (3456, 1152),
        f"{tower}visual.patch_embed.proj.weight": (1152, 3, 2, 16, 16),
        f"{tower}visual.merger.linear_fc1.weight": (4608, 4608),
    }
    return model


@pytest.mark.parametrize(
    ("name", "architecture", "prefix", "arch", "further"),
    [
        ("qwen2-yarn", "Qwen2_5_VLForConditionalGeneration", "model.", "qwen2vl", {}),
        (
            "qwen3-tied",
            "Qwen3VLForConditionalGeneration",
            "model.language_model.",
            "qwen3vl",
            {"n_deepstack_layers": 3},
        ),
        (
            "qwen3moe",
            "Qwen3VLMoeForConditionalGeneration",
            "model.language_model.",
            "qwen3vlmoe",
            {"n_deepstack_layers": 3},
        ),
    ],
)
def test_the_text_part_of_qwen_vl_is_the_text_model(
    kit: Path, name: str, architecture: str, prefix: str, arch: str, further: dict[str, int]
) -> None:
    """With what the image needs of it: sections of RoPE, and layers that take the image in."""
    text = Variant(kit, name)
    text.config["rope_scaling"] = None
    facts = {**text.facts(), "rope.dimension_sections": (24, 20, 20, 0), **further}
    shapes = {tensor.name: tensor.shape for tensor in text.tensors().values()}
    seeing = _seeing(Variant(kit, name), architecture, prefix, [24, 20, 20])
    assert seeing.family.arch == arch
    assert seeing.facts() == facts
    assert {tensor.name: tensor.shape for tensor in seeing.tensors().values()} == shapes


def test_qwen3_vl_experts_have_inputs_first(kit: Path) -> None:
    model = Variant(kit, "qwen3moe")
    model = _seeing(model, "Qwen3VLMoeForConditionalGeneration", "model.language_model.", [8] * 3)
    expected = {tensor.name: tensor.shape for tensor in model.tensors().values()}
    model.shapes = {name: s for name, s in model.shapes.items() if ".experts." not in name}
    for bid in range(3):
        experts = f"model.language_model.layers.{bid}.mlp.experts"
        model.shapes |= {
            f"{experts}.gate_up_proj": (4, 256, 384),
            f"{experts}.down_proj": (4, 192, 256),
        }
    tensors = model.tensors()
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected
    both = np.arange(4 * 256 * 384, dtype=np.float32).reshape(4, 256, 384)
    up = apply_whole(tensors["blk.1.ffn_up_exps.weight"].transform, [both])
    np.testing.assert_array_equal(up, both[:, :, 192:].swapaxes(1, 2))


def test_qwen3_next_without_blocks_that_predict_ahead(kit: Path) -> None:
    model = Variant(kit, "qwen3next")
    model.shapes = {name: s for name, s in model.shapes.items() if not name.startswith("mtp.")}
    facts = model.facts()
    assert facts["block_count"] == 4
    assert "nextn_predict_layers" not in facts
    assert facts["attention.recurrent_layers"] == (True, True, True, False)
    assert not [name for name in model.tensors() if name.startswith("blk.4.")]


def test_gemma3_config_may_be_as_short_as_google_ships_it(kit: Path) -> None:
    """The multimodal checkpoints leave out what Gemma3TextConfig fills in."""
    model = Variant(kit, "gemma3-mm")
    text = model.config["text_config"]
    model.config["text_config"] = {
        key: text[key]
        for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "sliding_window")
    }
    facts = model.facts()
    assert facts["attention.head_count"] == 8
    assert facts["attention.head_count_kv"] == 4
    assert facts["attention.key_length"] == 256
    assert facts["context_length"] == 131072
    assert facts["rope.freq_base"] == 1e6
    assert facts["rope.freq_base_swa"] == 1e4


def test_gemma3_embedding_loses_its_padding_and_nothing_else(kit: Path) -> None:
    model = Variant(kit, "gemma3-text")
    model.shapes["model.embed_tokens.weight"] = (1152, 288)
    assert model.tensors()["token_embd.weight"].shape == (1088, 288)
    model.shapes["model.embed_tokens.weight"] = (1024, 288)
    assert model.tensors()["token_embd.weight"].shape == (1024, 288)


def test_gemma3_without_windows_writes_none(kit: Path) -> None:
    model = Variant(kit, "gemma3-text")
    model.config["sliding_window_pattern"] = 1
    assert "attention.sliding_window" not in model.facts()


def test_gemma4_sizes_that_differ_from_layer_to_layer_become_arrays(kit: Path) -> None:
    model = Variant(kit, "gemma4")
    model.config |= {
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "attention_k_eq_v": True,
    }
    facts = model.facts()
    assert facts["feed_forward_length"] == (512, 512, 512, 512, 1024, 1024)
    assert facts["attention.head_count_kv"] == (2, 2, 2, 2, 2, 1)
    assert facts["attention.shared_kv_layers"] == 2


def test_gemma4_layers_that_share_keys_and_values_need_none(kit: Path) -> None:
    model = Variant(kit, "gemma4")
    letters = (".self_attn.k_proj.", ".self_attn.k_norm.", ".self_attn.v_proj.")
    model.shapes = {
        name: shape
        for name, shape in model.shapes.items()
        if not (".layers.5." in name and any(letter in name for letter in letters))
    }
    with pytest.raises(CheckpointError) as caught:
        model.tensors()
    assert caught.value.code == "missing-tensors"
    model.config["num_kv_shared_layers"] = 1
    assert "blk.5.attn_k.weight" not in model.tensors()


def test_gemma4_experts(kit: Path) -> None:
    model = Variant(kit, "gemma4")
    model.config |= {
        "enable_moe_block": True, "num_experts": 4, "top_k_experts": 2,
        "moe_intermediate_size": 128,
    }  # fmt: skip
    for bid in model.layers:
        layer = f"model.layers.{bid}"
        model.shapes |= {
            f"{layer}.router.proj.weight": (4, 256),
            f"{layer}.router.scale": (256,),
            f"{layer}.router.per_expert_scale": (4,),
            f"{layer}.experts.gate_up_proj": (4, 256, 256),
            f"{layer}.experts.down_proj": (4, 256, 128),
            f"{layer}.pre_feedforward_layernorm_2.weight": (256,),
            f"{layer}.post_feedforward_layernorm_1.weight": (256,),
            f"{layer}.post_feedforward_layernorm_2.weight": (256,),
        }
    assert model.tensors()["blk.0.ffn_gate_up_exps.weight"].shape == (4, 256, 256)
    facts = model.facts()
    assert facts["expert_count"] == 4
    assert facts["expert_used_count"] == 2
    assert facts["expert_feed_forward_length"] == 128


def test_phi4_has_no_window_and_no_rope_factors(kit: Path) -> None:
    model = Variant(kit, "phi3-longrope")
    model.config |= {"sliding_window": None, "rope_scaling": None}
    facts = model.facts()
    assert facts["attention.sliding_window"] == 0
    assert "rope.scaling.attn_factor" not in facts
    assert not list(model.family.generated(model.hparams()))


def test_phi4_mini_turns_a_part_of_each_head(kit: Path) -> None:
    model = Variant(kit, "phi3-longrope")
    model.config["partial_rotary_factor"] = 0.75
    assert model.facts()["rope.dimension_count"] == 72
    with pytest.raises(CheckpointError, match="48 values in long_factor for 72") as caught:
        model.family.generated(model.hparams())
    assert caught.value.code == "bad-rope-factors"


@pytest.mark.parametrize(
    ("context", "factor"), [(4096, 1.0), (32768, math.sqrt(1 + math.log(8) / math.log(4096)))]
)
def test_phi3_scales_attention_by_how_far_the_context_grows(
    kit: Path, context: int, factor: float
) -> None:
    model = Variant(kit, "phi3-longrope")
    model.config["max_position_embeddings"] = context
    assert model.facts()["rope.scaling.attn_factor"] == factor


def test_bert_names_may_have_a_wrapper_and_be_tensorflows(kit: Path) -> None:
    model = Variant(kit, "bert")
    expected = {name: tensor.shape for name, tensor in model.tensors().items()}
    model.shapes = {f"bert.{name}": shape for name, shape in model.shapes.items()}
    model.rename("LayerNorm.weight", "LayerNorm.gamma")
    model.rename("LayerNorm.bias", "LayerNorm.beta")
    model.shapes["cls.predictions.bias"] = (1024,)
    model.shapes["cls.seq_relationship.weight"] = (2, 384)
    assert {name: tensor.shape for name, tensor in model.tensors().items()} == expected


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({}, None),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, None),
        ({"id2label": {"0": "LABEL_0"}}, ("LABEL_0",)),
        ({"num_labels": 1}, ("LABEL_0",)),
        ({"id2label": {"1": "wet", "0": "dry"}}, ("dry", "wet")),
        ({"id2label": {str(n): f"c{n}" for n in range(11)}}, tuple(f"c{n}" for n in range(11))),
    ],
)
def test_bert_labels_are_in_the_order_of_their_numbers(
    kit: Path, changes: dict[str, Any], labels: tuple[str, ...] | None
) -> None:
    """Two without names are what a config class makes up."""
    model = Variant(kit, "bert")
    del model.config["id2label"]
    model.config |= changes
    assert model.facts().get("classifier.output_labels") == labels


def test_cross_encoders_keep_their_classifier(kit: Path) -> None:
    bert = Variant(kit, "bert")
    bert.config["architectures"] = ["BertForSequenceClassification"]
    bert.shapes |= {"classifier.weight": (1, 384), "classifier.bias": (1,)}
    assert bert.tensors()["cls.output.weight"].sources == ("classifier.weight",)

    roberta = Variant(kit, "xlmr")
    roberta.config["architectures"] = ["XLMRobertaForSequenceClassification"]
    roberta.shapes = {
        f"roberta.{name}": s for name, s in roberta.shapes.items() if not name.startswith("pooler")
    }
    roberta.shapes |= {
        "classifier.dense.weight": (256, 256), "classifier.dense.bias": (256,),
        "classifier.out_proj.weight": (1, 256), "classifier.out_proj.bias": (1,),
    }  # fmt: skip
    tensors = roberta.tensors()
    assert tensors["cls.weight"].sources == ("classifier.dense.weight",)
    assert tensors["cls.output.bias"].sources == ("classifier.out_proj.bias",)


@pytest.mark.parametrize(("padding", "first"), [(1, 2), (0, 1), (None, 0)])
def test_roberta_positions_start_behind_the_padding_token(
    kit: Path, padding: int | None, first: int
) -> None:
    model = Variant(kit, "xlmr")
    model.config["pad_token_id"] = padding
    positions = np.arange(514 * 256, dtype=np.float32).reshape(514, 256)
    made = apply_whole(model.tensors()["position_embd.weight"].transform, [positions])
    np.testing.assert_array_equal(made, positions[first:])
    assert model.facts()["context_length"] == 514 - first


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"pooling_mode_mean_tokens": True}, 1),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, 2),
        ({"pooling_mode_lasttoken": True}, 3),
        ({"pooling_mode": "cls"}, 2),
    ],
)
def test_pooling_is_what_sentence_transformers_recorded(
    kit: Path, files: dict[str, Any], expected: int | None
) -> None:
    assert _pooling(Variant(kit, "qwen3-tied"), files) == expected


def test_pooling_that_llama_cpp_does_not_know_is_refused(kit: Path) -> None:
    with pytest.raises(CheckpointError, match="1_Pooling") as caught:
        _pooling(Variant(kit, "bert"), {"pooling_mode_max_tokens": True})
    assert caught.value.code == "unknown-pooling"


def _pooling(model: Variant, config: dict[str, Any]) -> object:
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    ]
    files = {"modules.json": modules, "1_Pooling/config.json": config} if config else {}
    hp = Hparams(dict(model.hparams()), model.shapes, files.get)
    kvs = key_values(model.family.keys, model.family.arch, hp)
    return next((kv.value for kv in kvs if kv.key.endswith(".pooling_type")), None)


@pytest.mark.parametrize("change", [{"prenorm": True}, {"rotary_emb_fraction": 0.5}])
def test_nomic_variants_that_would_compute_something_else_are_refused(
    kit: Path, change: dict[str, Any]
) -> None:
    model = Variant(kit, "nomic-bert")
    model.config |= change
    with pytest.raises(UnsupportedError) as caught:
        model.tensors()
    (name,) = change
    assert name in str(caught.value)


def test_nomic_contexts_are_those_the_models_were_trained_for(kit: Path) -> None:
    model = Variant(kit, "nomic-bert")
    assert model.facts()["context_length"] == 2048
    model.config["n_positions"] = 4096
    with pytest.raises(CheckpointError, match="4096") as caught:
        model.facts()
    assert caught.value.code == "unknown-context"
