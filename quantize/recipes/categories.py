"""Tensor names in the mixes' eyes: broad categories, and weights that are never quantized.

Source: src/llama-quant.cpp of llama.cpp, tensor_get_category and tensor_allows_quantization.
"""

from __future__ import annotations

from quantize.tensors import Shape

OUTPUT = "output"
TOKEN_EMBD = "token_embd"  # noqa: S105 (an embedding, no secret)
ATTN_V = "attn_v"
ATTN_K = "attn_k"
ATTN_Q = "attn_q"
ATTN_OUTPUT = "attn_output"
FFN_UP = "ffn_up"
FFN_GATE = "ffn_gate"
FFN_DOWN = "ffn_down"
OTHER = "other"

_WHOLE_NAMES = {
    "output.weight": OUTPUT,
    "token_embd.weight": TOKEN_EMBD,
    "per_layer_token_embd.weight": TOKEN_EMBD,
}

# The first part that occurs in the name decides. Fused tensors that hold attn_v count as attn_v.
_PARTS = (
    ("attn_qkv.weight", ATTN_V),
    ("attn_kv_b.weight", ATTN_V),
    ("attn_v.weight", ATTN_V),
    ("attn_k.weight", ATTN_K),
    ("attn_q.weight", ATTN_Q),
    ("attn_output.weight", ATTN_OUTPUT),
    ("ffn_up", FFN_UP),
    ("ffn_gate", FFN_GATE),
    ("ffn_down", FFN_DOWN),
)

_KEPT_NAMES = {
    "position_embd.weight": "position embedding",
    "token_types.weight": "token types",
}

_KEPT_PARTS = (
    ("_norm.weight", "norm"),
    ("ffn_gate_inp.weight", "expert router"),
    ("ffn_gate_tid2eid.weight", "expert routing table"),
    ("altup", "small"),
    ("laurel", "small"),
    ("per_layer_model_proj", "small"),
    ("ssm_conv1d", "convolution"),
    ("shortconv.conv.weight", "convolution"),
    ("indexer.k_proj.weight", "small"),
    ("indexer.q_proj.weight", "small"),
    *((f"time_mix_{part}.weight", "small") for part in (
        "first", "w0", "w1", "w2", "v0", "v1", "v2", "a0", "a1", "a2", "g1", "g2",
        "decay_w1", "decay_w2", "lerp_fused",
    )),
    ("attn_rel_b.weight", "position bias"),
    (".position_embd", "position embedding"),
    ("sam.pos_embd", "position embedding"),
    (".rel_pos", "position embedding"),
    ("sam.neck.", "vision"),
    ("sam.net_", "vision"),
    (".patch_embd", "vision"),
    (".patch_merger", "vision"),
    ("a.rvq.codebook", "audio codebook"),
    ("mm.a.code_embd", "audio codebook"),
)  # fmt: skip


# Of one architecture only, by its GGUF name.
_KEPT_PARTS_OF = {
    # llama.cpp transposes it at run time, which blocks do not allow (docs/deviations.md).
    "clip": {"mm.input_projection.weight": "read transposed"},
    "glm5-next": dict.fromkeys(
        (
            "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate",
            "indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight",
            "ssm_g_b.weight", "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight",
            "attn_v_b.weight",
        ),
        "small",
    ),
}  # fmt: skip

CATEGORIES = (
    OUTPUT, TOKEN_EMBD, ATTN_V, ATTN_K, ATTN_Q, ATTN_OUTPUT, FFN_UP, FFN_GATE, FFN_DOWN, OTHER,
)  # fmt: skip


def category(name: str) -> str:
    """The category of the tensor called `name`."""
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    return next((found for part, found in _PARTS if part in name), OTHER)


def why_kept(name: str, shape: Shape, arch: str) -> str | None:
    """Why this tensor stays as it is, or None if it may be quantized."""
    # ggml does not count leading dimensions of 1.
    if sum(n > 1 for n in shape[:-1]) == 0:
        return "one dimension"
    if not name.endswith("weight"):
        return "no weight"
    if name in _KEPT_NAMES:
        return _KEPT_NAMES[name]
    parts = (*_KEPT_PARTS, *_KEPT_PARTS_OF.get(arch, {}).items())
    return next((why for part, why in parts if part in name), None)
