"""What single families do with variants of their models that the kit has no example of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.errors import CheckpointError
from quantize.transforms import apply_whole
from tests.support.variants import Variant


@pytest.fixture
def variant(kit: Path) -> Callable[[str], Variant]:
    return lambda name: Variant(kit, name)


def test_falcon_multi_query_has_one_key_head_whatever_num_kv_heads_says(
    variant: Callable[[str], Variant],
) -> None:
    """transformers writes num_kv_heads = num_attention_heads into the configs it saves."""
    model = variant("falcon-mq")
    model.config["num_kv_heads"] = model.config["num_attention_heads"]
    assert model.facts()["attention.head_count_kv"] == 1
    assert model.tensors()["blk.0.attn_qkv.weight"].shape == (448, 320)


def test_falcon_of_the_new_architecture_has_a_norm_for_each_branch(
    variant: Callable[[str], Variant],
) -> None:
    model = variant("falcon-mq")
    model.config |= {"new_decoder_architecture": True, "num_kv_heads": 5}
    model.rename("input_layernorm", "ln_mlp")
    for bid in model.layers:
        model.shapes[f"transformer.h.{bid}.self_attention.query_key_value.weight"] = (960, 320)
        model.shapes[f"transformer.h.{bid}.ln_attn.weight"] = (320,)
        model.shapes[f"transformer.h.{bid}.ln_attn.bias"] = (320,)
    tensors = model.tensors()
    assert tensors["blk.0.attn_norm.weight"].sources == ("transformer.h.0.ln_mlp.weight",)
    assert tensors["blk.0.attn_norm_2.weight"].sources == ("transformer.h.0.ln_attn.weight",)
    assert model.facts()["attention.head_count_kv"] == 5


@pytest.mark.parametrize("n_expert", [0, 4])
def test_granite_shared_mlp(variant: Callable[[str], Variant], n_expert: int) -> None:
    """What the experts share; without experts it is the block's MLP."""
    model = variant("granitemoe")
    model.config |= {
        "architectures": ["GraniteMoeSharedForCausalLM"],
        "num_local_experts": n_expert,
        "shared_intermediate_size": 512,
    }
    if not n_expert:
        model.shapes = {n: s for n, s in model.shapes.items() if "block_sparse_moe" not in n}
    for bid in model.layers:
        model.shapes[f"model.layers.{bid}.shared_mlp.input_linear.weight"] = (1024, 256)
        model.shapes[f"model.layers.{bid}.shared_mlp.output_linear.weight"] = (256, 512)
    tensors = model.tensors()
    suffix = "_shexp" if n_expert else ""
    assert tensors[f"blk.0.ffn_up{suffix}.weight"].shape == (512, 256)
    assert tensors[f"blk.0.ffn_down{suffix}.weight"].shape == (256, 512)
    assert ("blk.0.ffn_up_exps.weight" in tensors) == bool(n_expert)
    fused = np.arange(1024 * 256, dtype=np.float32).reshape(1024, 256)
    up = apply_whole(tensors[f"blk.0.ffn_up{suffix}.weight"].transform, [fused])
    np.testing.assert_array_equal(up, fused[512:])


def test_granite_does_not_look_at_head_dim(variant: Callable[[str], Variant]) -> None:
    model = variant("granite")
    model.config["head_dim"] = 99
    facts = model.facts()
    assert facts["rope.dimension_count"] == 32
    assert "attention.key_length" not in facts


def test_command_r_plus_has_norms_of_each_head(variant: Callable[[str], Variant]) -> None:
    model = variant("command-r")
    model.config["use_qk_norm"] = True
    for bid in model.layers:
        for letter in "qk":
            model.shapes[f"model.layers.{bid}.self_attn.{letter}_norm.weight"] = (4, 64)
    assert model.tensors()["blk.2.attn_k_norm.weight"].shape == (4, 64)


def test_stablelm_norms_of_heads_become_the_rows_of_a_table(
    variant: Callable[[str], Variant],
) -> None:
    model = variant("stablelm2")
    for bid in model.layers:
        for head in range(4):
            norms = f"model.layers.{bid}.self_attn.{{}}_layernorm.norms.{head}.weight"
            model.shapes |= {norms.format("q"): (64,), norms.format("k"): (64,)}
    norm = model.tensors()["blk.1.attn_q_norm.weight"]
    assert norm.shape == (4, 64)
    heads = [np.full(64, head, dtype=np.float32) for head in range(4)]
    np.testing.assert_array_equal(apply_whole(norm.transform, heads), np.stack(heads))


def test_olmo3_windows_three_layers_of_four_unless_told_otherwise(
    variant: Callable[[str], Variant],
) -> None:
    model = variant("olmo2")
    assert "attention.sliding_window" not in model.facts()
    model.config |= {"architectures": ["Olmo3ForCausalLM"], "model_type": "olmo3"}
    model.config["num_hidden_layers"] = 5
    facts = model.facts()
    assert facts["attention.sliding_window"] == 4096
    assert facts["attention.sliding_window_pattern"] == (True, True, True, False, True)


@pytest.mark.parametrize("pattern", ["LLLG", 4])
def test_exaone_reads_the_older_pattern(
    variant: Callable[[str], Variant], pattern: str | int
) -> None:
    model = variant("exaone4")
    del model.config["layer_types"]
    model.config["sliding_window_pattern"] = pattern
    expected = (True, True, True, False)
    assert model.facts()["attention.sliding_window_pattern"] == expected


def test_exaone_without_a_window_has_no_pattern(variant: Callable[[str], Variant]) -> None:
    model = variant("exaone4")
    model.config |= {"sliding_window": None, "sliding_window_pattern": None}
    assert not [key for key in model.facts() if "sliding" in key]


def test_lfm2_reads_the_older_list_of_attention_layers(variant: Callable[[str], Variant]) -> None:
    model = variant("lfm2")
    del model.config["layer_types"]
    model.config["full_attn_idxs"] = [2]
    assert model.facts()["attention.head_count_kv"] == (0, 0, 2, 0)


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 768),
        ({"block_ffn_dim_multiplier": 1.5}, 1280),
        ({"block_ffn_dim_multiplier": None}, 768),
        ({"block_auto_adjust_ff_dim": False}, 1152),
    ],
)
def test_lfm2_adjusts_the_width_of_its_mlp(
    variant: Callable[[str], Variant], changes: dict[str, Any], length: int
) -> None:
    model = variant("lfm2")
    model.config |= changes
    assert model.facts()["feed_forward_length"] == length


@pytest.mark.parametrize("name", ["mamba", "deepseek2-8x"])
def test_a_copy_of_a_tied_head_is_left_out(variant: Callable[[str], Variant], name: str) -> None:
    model = variant(name)
    model.shapes["lm_head.weight"] = (1032, 256)
    model.config["tie_word_embeddings"] = True
    assert "output.weight" not in model.tensors()
    model.config["tie_word_embeddings"] = False
    assert model.tensors()["output.weight"].shape == (1032, 256)


def test_deepseek_lite_has_queries_of_full_rank(variant: Callable[[str], Variant]) -> None:
    model = variant("deepseek2-8x")
    model.config["q_lora_rank"] = None
    model.shapes = {n: s for n, s in model.shapes.items() if ".q_a_" not in n}
    model.rename("q_b_proj", "q_proj")
    assert "blk.0.attn_q.weight" in model.tensors()
    assert "attention.q_lora_rank" not in model.facts()


def test_deepseek_leaves_out_the_announced_prediction_blocks_only(
    variant: Callable[[str], Variant],
) -> None:
    model = variant("deepseek3")
    assert not [name for name in model.tensors() if name.startswith("blk.3.")]
    model.config["num_nextn_predict_layers"] = 0
    with pytest.raises(CheckpointError) as error:
        model.tensors()
    assert error.value.code == "unmapped-tensors"


def test_gpt_oss_experts_are_the_same_from_both_layouts(variant: Callable[[str], Variant]) -> None:
    """MXFP4 has (experts, outputs, inputs); floats have (experts, inputs, outputs)."""
    model = variant("gptoss")
    model.shapes = {
        n.removesuffix("_blocks"): (4, s[1], 256) if n.endswith("_blocks") else s
        for n, s in model.shapes.items()
        if not n.endswith("_scales")
    }
    packed = model.tensors()
    del model.config["quantization_config"]
    for bid in model.layers:
        model.shapes[f"model.layers.{bid}.mlp.experts.gate_up_proj"] = (4, 256, 512)
    floats = model.tensors()

    rng = np.random.default_rng(0)
    gate_up = rng.standard_normal((4, 512, 256)).astype(np.float32)
    down = rng.standard_normal((4, 256, 256)).astype(np.float32)
    for name, source, expected in (
        ("blk.0.ffn_gate_exps.weight", gate_up, gate_up[:, ::2]),
        ("blk.0.ffn_up_exps.weight", gate_up, gate_up[:, 1::2]),
        ("blk.0.ffn_down_exps.weight", down, down),
    ):
        inputs_first = np.ascontiguousarray(source.transpose(0, 2, 1))
        np.testing.assert_array_equal(apply_whole(packed[name].transform, [source]), expected)
        np.testing.assert_array_equal(apply_whole(floats[name].transform, [inputs_first]), expected)
