"""EuroBERT: Llama's block without a causal mask."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, string
from quantize.architectures.pooling import POOLING
from quantize.formats import kv


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.NORMS,
        *decoder.attention(),
        *decoder.MLP,
    )


EUROBERT = Family(
    arch="eurobert",
    keys=(
        *COMMON,
        boolean("attention.causal", lambda hp: False),
        string("rope.scaling.type", lambda hp: "none"),
        *POOLING,
    ),
    rules=_rules,
    defaults=class_defaults(rope_theta=250000.0, rms_norm_eps=1e-5),
    vocab_options={"before": (kv.boolean("tokenizer.ggml.add_bos_token", value=False),)},
)
