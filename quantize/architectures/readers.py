"""Which matrices read the residual stream, by the names of a GGUF file.

The token embedding is where the stream begins. Each block reads it through a norm; the names of
the norms and of the matrices behind them are llama.cpp's, the same in all families that have them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

# Norm -> the matrices that read its output.
_ATTENTION = (
    "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_q_a", "attn_kv_a_mqa", "attn_gate", "ssm_in",
    "ssm_beta_alpha", "ssm_ba", "shortconv.in_proj",
)  # fmt: skip
_FEED_FORWARD = (
    "ffn_gate", "ffn_up", "ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps", "ffn_gate_shexp",
    "ffn_up_shexp",
)  # fmt: skip
# The first that a block has is read by its feed-forward matrices. Blocks with none of them compute
# both parts side by side, from the norm of the attention.
_FEED_FORWARD_NORMS = ("ffn_norm", "post_attention_norm", "attn_norm")

_BLOCK = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Reader:
    """A matrix of block `block`, and the norm before it."""

    block: int
    norm: str
    matrix: str


def readers(names: Collection[str]) -> tuple[Reader, ...]:
    """The readers in all blocks, or none at all where a block has none with the usual names."""
    blocks = sorted({int(match[1]) for name in names if (match := _BLOCK.match(name))})
    found = [list(_of_block(block, names)) for block in blocks]
    return tuple(reader for one in found for reader in one) if all(found) else ()


def _of_block(block: int, names: Collection[str]) -> Iterator[Reader]:
    def name(part: str) -> str:
        return f"blk.{block}.{part}.weight"

    if name("attn_norm") not in names:
        return
    norm = next(one for one in _FEED_FORWARD_NORMS if name(one) in names)
    for of, matrices in (("attn_norm", _ATTENTION), (norm, _FEED_FORWARD)):
        for matrix in matrices:
            if name(matrix) in names:
                yield Reader(block, name(of), name(matrix))
