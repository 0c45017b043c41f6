"""ChatGLM 3 and GLM-4 9B of 2024, in their own layout and in transformers'."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.formats import kv


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(),
        *tensor("layers.{bid}.mlp.gate_up_proj", "blk.{bid}.ffn_up"),
        *tensor("layers.{bid}.mlp.down_proj", "blk.{bid}.ffn_down"),
    )


_LAYER = "encoder.layers.{bid}"


def _chatglm(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("embedding.word_embeddings", "token_embd"),
        *tensor("encoder.final_layernorm", "output_norm"),
        *tensor("output_layer", "output", optional=True),
        *tensor(f"{_LAYER}.input_layernorm", "blk.{bid}.attn_norm"),
        *tensor(f"{_LAYER}.self_attention.query_key_value", "blk.{bid}.attn_qkv"),
        *tensor(f"{_LAYER}.self_attention.dense", "blk.{bid}.attn_output"),
        *tensor(f"{_LAYER}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        *tensor(f"{_LAYER}.mlp.dense_h_to_4h", "blk.{bid}.ffn_up"),
        *tensor(f"{_LAYER}.mlp.dense_4h_to_h", "blk.{bid}.ffn_down"),
    )


def _rotary_dimensions(hp: Hparams) -> int:
    dimensions = hp.get("attention_dim", hp.n_embd // hp.n_head)
    return int(dimensions * hp.rope.get("partial_rotary_factor", 0.5))


GLM = Family(
    arch="chatglm",
    keys=(
        u32("context_length", lambda hp: hp.get("seq_length", hp.n_embd)),
        u32("embedding_length", "hidden_size"),
        u32("feed_forward_length", "ffn_hidden_size", "intermediate_size"),
        u32("block_count", lambda hp: hp.block_count),
        u32("attention.head_count", "n_head", "num_attention_heads"),
        u32("attention.head_count_kv", "multi_query_group_num", "num_key_value_heads"),
        f32("attention.layer_norm_rms_epsilon", lambda hp: hp.get("layernorm_epsilon", 1e-5)),
        u32("rope.dimension_count", _rotary_dimensions),
        f32("rope.freq_base", lambda hp: 10000 * hp.get("rope_ratio", 1)),
    ),
    rules=_rules,
    defaults=class_defaults(num_key_value_heads=2),
    vocab_options={
        "before": (kv.boolean("tokenizer.ggml.add_bos_token", value=False),),
        "special": {"eos": "<|endoftext|>", "eot": "<|user|>", "unk": "<|endoftext|>"},
    },
)
CHATGLM = replace(
    GLM,
    rules=_chatglm,
    unused=("rotary_pos_emb.inv_freq",),
    defaults=class_defaults(
        multi_query_group_num=lambda config: config.get("num_attention_heads"),
    ),
)
