"""Memory that a model needs on top of its weights for a context: KV cache and recurrent states.

The sizes are those that llama.cpp allocates (src/llama-kv-cache.cpp, llama-hparams.cpp): keys and
values in F16 for every layer that has heads for them, states in F32. Layers that the file's own
keys give a sliding window keep no more than that. Where llama.cpp knows a window by architecture
alone it is not counted, so the figure is then too large, never too small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.formats.kv import KeyValues

_F16, _F32 = 2, 4
_STEP = 256  # llama.cpp pads contexts to this
_BATCH = 512  # tokens that a window has room for in addition to its own


def context_memory(kvs: KeyValues, context: int) -> int:
    """Bytes for `context` tokens, from the key-values of a GGUF file."""
    facts = kvs.hparams
    if facts.get("attention.causal") is False or kvs.is_embedder:
        return 0
    layers = int(facts.get("block_count", 0))
    keys, values = _widths(facts)
    heads = _per_layer(
        facts.get("attention.head_count_kv", facts.get("attention.head_count", 0)), layers
    )
    total = 0
    for layer, tokens in enumerate(_tokens(facts, layers, context)):
        attends = _attends(facts, layer) and bool(heads[layer])
        total += heads[layer] * (keys + values) * tokens * _F16 if attends else _state(facts)
    return total


def longest_context(kvs: KeyValues) -> int | None:
    """How many tokens the model was made for."""
    found = kvs.hparam("context_length")
    return found if isinstance(found, int) and found > 0 else None


def _widths(facts: Mapping[str, Any]) -> tuple[int, int]:
    """Elements of one head's key and value. Latent attention (MLA) keeps keys only."""
    head_count = facts.get("attention.head_count", 1)
    first = max(head_count) if isinstance(head_count, tuple) else head_count
    usual = int(facts.get("embedding_length", 0)) // max(int(first), 1)
    keys = int(facts.get("attention.key_length", usual))
    if "attention.key_length_mla" in facts:
        return keys, 0
    return keys, int(facts.get("attention.value_length", usual))


def _per_layer(value: Any, layers: int) -> list[int]:
    listed = list(value) if isinstance(value, tuple) else [value] * layers
    return [int(entry) for entry in listed[:layers]] + [0] * (layers - len(listed))


def _tokens(facts: Mapping[str, Any], layers: int, context: int) -> list[int]:
    """How many tokens each layer keeps."""
    padded = -(-context // _STEP) * _STEP
    window = int(facts.get("attention.sliding_window", 0) or 0)
    pattern = facts.get("attention.sliding_window_pattern")
    if not window or not isinstance(pattern, tuple):
        return [padded] * layers
    kept = min(padded, -(-(window + _BATCH) // _STEP) * _STEP)
    slides = _per_layer(pattern, layers)
    return [kept if slides[layer] else padded for layer in range(layers)]


def _attends(facts: Mapping[str, Any], layer: int) -> bool:
    """Whether a layer of a hybrid has attention: the last one of each interval."""
    interval = int(facts.get("full_attention_interval", 1) or 1)
    return (layer + 1) % interval == 0


def _state(facts: Mapping[str, Any]) -> int:
    """Bytes of a recurrent layer's state, whatever the context: convolution and state space."""
    width = int(facts.get("embedding_length", 0))
    inner = int(facts.get("ssm.inner_size", 0))
    state = int(facts.get("ssm.state_size", 0))
    groups = int(facts.get("ssm.group_count", 0))
    before = max(int(facts.get("ssm.conv_kernel", 0)) - 1, 0)
    convolved = before * (inner + 2 * groups * state)
    short = width * max(int(facts.get("shortconv.l_cache", 0)) - 1, 0)
    head = int(facts.get("wkv.head_size", 0))
    shifted = width * (head + 2) if head else 0
    return (convolved + inner * state + short + shifted) * _F32
