"""The text parts of Qwen 2, 2.5 and 3 VL, and of 2.5 Omni; what sees is a file of its own."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.decoder import EMBEDDING, HEAD, NORMS, OUTPUT_NORM, QK_NORMS, attention
from quantize.architectures.families.qwen2 import QWEN2
from quantize.architectures.families.qwen3 import QWEN3
from quantize.architectures.families.qwen_moe import QWEN3_MOE, experts_of
from quantize.architectures.family import OTHER_MODALITIES, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32
from quantize.transforms import Transpose, chain


def _deepstack(hp: Hparams) -> int:
    """Layers that take more of the image in."""
    return len((hp.get("vision_config") or {}).get("deepstack_visual_indexes") or ())


def _has_inputs_first(hp: Hparams) -> bool:
    """Whether the tensors that hold all experts of a layer are turned, as the published ones are.

    transformers 5 saves them the other way round, as those of Qwen 3 are. Of two equal sizes the
    other tensor tells.
    """
    size, width = hp.n_embd, int(hp["moe_intermediate_size"])
    name, wanted = ("gate_up_proj", size) if size != 2 * width else ("down_proj", width)
    shapes = (shape for source, shape in hp.shapes.items() if source.endswith(f".experts.{name}"))
    return next((shape[1] == wanted for shape in shapes), False)


def _moe_rules(hp: Hparams) -> tuple[TensorRule, ...]:
    if not _has_inputs_first(hp):
        return (*EMBEDDING, *OUTPUT_NORM, *HEAD, *NORMS, *attention(), *QK_NORMS, *experts_of(hp))
    experts = tuple(
        replace(rule, transform=chain(Transpose((0, 2, 1)), rule.transform))
        if "{eid}" not in str(rule.source) and ".experts." in str(rule.source)
        else rule
        for rule in experts_of(hp)
    )
    return (*EMBEDDING, *OUTPUT_NORM, *HEAD, *NORMS, *attention(), *QK_NORMS, *experts)


_DEEPSTACK = u32("n_deepstack_layers", _deepstack)

QWEN2_VL = replace(
    QWEN2, arch="qwen2vl", keys=COMMON, defaults=class_defaults(rope_theta=1000000.0)
)
QWEN25_OMNI = replace(QWEN2_VL, prefixes=("thinker.model.", "thinker.", *QWEN2_VL.prefixes))
QWEN3_VL = replace(
    QWEN3,
    arch="qwen3vl",
    keys=(*QWEN3.keys, _DEEPSTACK),
    unused=OTHER_MODALITIES,
    defaults=class_defaults(rope_theta=5000000.0, head_dim=128),
)
QWEN3_VL_MOE = replace(
    QWEN3_MOE,
    arch="qwen3vlmoe",
    keys=(*QWEN3_MOE.keys, _DEEPSTACK),
    rules=_moe_rules,
    unused=OTHER_MODALITIES,
    defaults=class_defaults(rope_theta=5000000.0),
)
