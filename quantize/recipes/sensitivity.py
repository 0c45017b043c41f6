"""How much an error in a tensor harms the output, compared with the same error in another.

Relative errors of all tensors add up to the error of the result, but not in equal parts. The
output matrix errs in every logit, and the embedding in all that is computed from it; a matrix
inside a block is one of many whose results are added up, so that it counts the less the more
blocks there are. The first block writes into a stream that is still small, and the way from
queries and keys to the result is the longest.

The factors are rounded from a measurement: of tinyrust, one kind of tensors at a time in Q3_K and
all else in Q8_0, the divergence divided by the square of the error (docs/quality.md). llama.cpp's
mixes give more bits to the same kinds.
"""

from __future__ import annotations

from quantize.recipes.categories import ATTN_K, ATTN_Q, FFN_DOWN, OUTPUT, TOKEN_EMBD, category
from quantize.tensors import BLOCK

# For each block of the model, of matrices outside of blocks.
_BY_BLOCKS = {OUTPUT: 20.0, TOKEN_EMBD: 8.0}
_INSIDE = {ATTN_Q: 0.5, ATTN_K: 0.5, FFN_DOWN: 2.5}
_FIRST, _LAST = 8.0, 2.0


def sensitivity(name: str, n_layers: int, *, tied: bool) -> float:
    """The factor of the square of a tensor's relative error; 1 for most of them.

    `tied`: the token embedding is the output matrix as well.
    """
    kind = category(name)
    block = BLOCK.match(name)
    if block is not None:
        layer = int(block[1])
        place = _FIRST if layer == 0 else _LAST if layer == n_layers - 1 else 1.0
        return place * _INSIDE.get(kind, 1.0)
    factor = _BY_BLOCKS.get(kind, 1.0)
    if tied and kind == TOKEN_EMBD:
        factor += _BY_BLOCKS[OUTPUT]
    return factor * n_layers
