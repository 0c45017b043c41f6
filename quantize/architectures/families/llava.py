"""Text parts of Llama's layout in multimodal checkpoints: LLaVA, Pixtral, SmolVLM, Voxtral."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import OTHER_MODALITIES, TensorRule
from quantize.architectures.hparams import Hparams
from quantize.errors import UnsupportedError

_LLAMA_TYPES = ("llama", "mistral", "mixtral")


def _rules(hp: Hparams) -> Iterable[TensorRule]:
    """Llama's, after a look at what the text part is: the outer name does not say it."""
    kind = hp.get("model_type")
    if kind not in _LLAMA_TYPES:
        raise UnsupportedError(
            "unknown-text-part",
            f"the text part of this model is of type {kind!r}",
            where="config.json: text_config",
            reason=f"of this class, those of {', '.join(_LLAMA_TYPES)} can be converted",
            hint="--arch NAME with the architecture name of the text part",
        )
    return LLAMA.rules(hp)


LLAVA = replace(LLAMA, rules=_rules)
# Janus also draws; what it draws with is left out, too.
JANUS = replace(
    LLAMA,
    unused=(
        *OTHER_MODALITIES, "vision_model.*", "aligner.*", "vqmodel.*", "generation_embeddings.*",
        "generation_aligner.*", "generation_head.*",
    ),
)  # fmt: skip
