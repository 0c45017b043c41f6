"""Rules for the mixers of Mamba 2, which several hybrids share."""

from __future__ import annotations

from quantize.architectures.family import TensorRule, tensor
from quantize.transforms import IDENTITY, NegExp, Refold, Reshape, Transform, chain

# llama.cpp has A and D as tables of one column.
_COLUMN = Reshape((-1, 1))


def mamba2_mixer(
    source: str,
    *,
    kernel: int,
    groups: int,
    norm: bool = True,
    in_proj: Transform = IDENTITY,
    out_proj: Transform = IDENTITY,
) -> tuple[TensorRule, ...]:
    """`source` is the mixer's name, `kernel` the width of its convolution.

    `norm`: whether there is one, in `groups`, before out_proj.
    """
    gated_norm = tensor(f"{source}.norm", "blk.{bid}.ssm_norm", Refold((groups, -1)))
    return (
        *tensor(f"{source}.in_proj", "blk.{bid}.ssm_in", in_proj),
        TensorRule(f"{source}.conv1d.weight", "blk.{bid}.ssm_conv1d.weight", Reshape((-1, kernel))),
        TensorRule(f"{source}.conv1d.bias", "blk.{bid}.ssm_conv1d.bias", optional=True),
        TensorRule(f"{source}.dt_bias", "blk.{bid}.ssm_dt.bias"),
        TensorRule(f"{source}.A_log", "blk.{bid}.ssm_a", chain(_COLUMN, NegExp())),
        TensorRule(f"{source}.D", "blk.{bid}.ssm_d", _COLUMN),
        *(gated_norm if norm else ()),
        *tensor(f"{source}.out_proj", "blk.{bid}.ssm_out", out_proj),
    )
