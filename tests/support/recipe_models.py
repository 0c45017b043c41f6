"""Shapes of models larger than the kit's, to be given types.

The kit's models have at most six layers, so no "first eighth" of them exists. What llama-quantize
says of these is in tests/data/types/large/, written by scripts/make_type_goldens.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantize.formats.gguf import TensorEntry, data_offsets, encode_header
from quantize.formats.kv import f32, string, u32
from quantize.recipes import ModelFacts, Tensor
from quantize.tensors import Shape, tensor_nbytes


@dataclass(frozen=True)
class RecipeModel:
    """`cols` is the hidden size, `ff` the row length of ffn_down.

    `more` are matrices that each block has beside the usual ones, `keys` key-values that llama.cpp
    wants of the architecture.
    """

    arch: str
    layers: int
    heads: int
    heads_kv: int
    experts: int = 0
    tied: bool = False
    cols: int = 512
    ff: int = 768
    more: Mapping[str, Shape] = field(default_factory=dict)
    keys: Mapping[str, int | float] = field(default_factory=dict)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts(self.arch, self.layers, self.heads, self.heads_kv, self.experts)

    def tensors(self) -> list[Tensor]:
        """Matrices and a norm, in llama-quantize's order."""
        cols, ff, n_expert = self.cols, self.ff, self.experts
        found: list[tuple[str, Shape]] = [] if self.tied else [("output.weight", (3200, cols))]
        found += [("output_norm.weight", (cols,)), ("token_embd.weight", (3200, cols))]
        attention = ("attn_qkv",) if self.arch == "falcon" else ("attn_k", "attn_q", "attn_v")
        block: dict[str, Shape] = dict.fromkeys(attention, (256, cols))
        block["attn_output"] = (cols, cols)
        block |= self.more
        if n_expert:
            block["ffn_gate_inp"] = (n_expert, cols)
            block |= {"ffn_down_shexp": (cols, ff), "ffn_up_shexp": (ff, cols)}
            block |= {"ffn_down_exps": (n_expert, cols, ff), "ffn_up_exps": (n_expert, ff, cols)}
        else:
            block |= {"ffn_down": (cols, ff), "ffn_gate": (ff, cols), "ffn_up": (ff, cols)}
        for i in range(self.layers):
            found += [(f"blk.{i}.{name}.weight", block[name]) for name in sorted(block)]
        return [Tensor(*one) for one in found]

    def write(self, file: Path) -> Path:
        """An F32 file that llama.cpp takes for a model, with a hole for the weights."""
        numbers = {
            "block_count": self.layers,
            "context_length": 4096,
            "embedding_length": self.cols,
            "feed_forward_length": self.ff,
            "expert_feed_forward_length": self.ff,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.heads_kv,
            "expert_count": self.experts,
            "expert_used_count": min(self.experts, 2),
            "vocab_size": 3200,
            "attention.layer_norm_epsilon": 1e-5,
            "attention.layer_norm_rms_epsilon": 1e-5,
            **self.keys,
        }
        kvs = [string("general.architecture", self.arch)]
        for key, value in numbers.items():
            name = f"{self.arch}.{key}"
            kvs.append(u32(name, value) if isinstance(value, int) else f32(name, value))
        tensors = self.tensors()
        offsets, size = data_offsets([tensor_nbytes("F32", one.shape) for one in tensors])
        entries = [
            TensorEntry(one.name, one.shape, "F32", offset)
            for one, offset in zip(tensors, offsets, strict=True)
        ]
        header = encode_header(kvs, entries)
        with file.open("wb") as opened:
            opened.write(header)
            opened.truncate(len(header) + size)
        return file


# Of two architectures the mixes have words of their own, on matrices that others do not have.
_LATENT_KEYS = {
    "attention.key_length_mla": 192,
    "attention.value_length_mla": 128,
    "attention.q_lora_rank": 256,
    "attention.kv_lora_rank": 512,
    "ssm.conv_kernel": 4,
    "kda.head_dim": 128,
    "kda.gate_lower_bound": -5.0,
    "expert_shared_count": 1,
    "expert_gating_func": 2,
    "leading_dense_block_count": 1,
}
_GLM_5_KEYS = {
    **_LATENT_KEYS,
    "attention.indexer.head_count": 4,
    "attention.indexer.key_length": 128,
    "attention.indexer.top_k": 64,
    "attention.indexer.kpool": 4,
    "hyper_connection.count": 4,
    "hyper_connection.sinkhorn_iterations": 20,
    "hyper_connection.epsilon": 1e-6,
}
_LATENT: dict[str, Shape] = {
    "attn_q_a": (256, 512), "attn_q_b": (512, 256), "attn_k_b": (8, 512, 256),
    "attn_kv_a_mqa": (576, 512), "attn_v_b": (8, 256, 512),
}  # fmt: skip
_GLM_5: dict[str, Shape] = {
    **_LATENT,
    **dict.fromkeys(
        ("nextn.eh_proj", "hc_attn_fn", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj",
         "indexer_compressor_gate", "ssm_f_a", "ssm_beta", "ssm_out"),
        (256, 512),
    ),
}  # fmt: skip

RECIPE_MODELS = {
    "llama-8b": RecipeModel("llama", 32, 32, 8),
    "llama-13b": RecipeModel("llama", 40, 40, 40),
    "llama-65b": RecipeModel("llama", 80, 64, 64),
    "llama-70b": RecipeModel("llama", 80, 64, 8),
    "mixtral-8x": RecipeModel("llama", 32, 32, 8, experts=8),
    "qwen2-72b": RecipeModel("qwen2", 80, 64, 8),
    "qwen2-tied-odd": RecipeModel("qwen2", 28, 12, 2, tied=True, cols=704, ff=1216),
    "qwen3moe-16x": RecipeModel("qwen3moe", 48, 32, 4, experts=16),
    "falcon": RecipeModel("falcon", 60, 71, 1),
    "glm5-16x": RecipeModel("glm5-next", 8, 8, 8, experts=16, more=_GLM_5, keys=_GLM_5_KEYS),
    "bailing3-16x": RecipeModel(
        "bailingmoe3", 8, 8, 8, experts=16, more=_LATENT, keys=_LATENT_KEYS
    ),
}
