"""Whether a model without an output matrix may do without one.

llama.cpp uses the embedding in its place, which is right for models that tie the two. Where
config.json says that they are not tied, the matrix was lost: with a shard, or by a program that
saved the model without its head.
"""

from __future__ import annotations

from collections.abc import Collection

from quantize.architectures.hparams import text_part
from quantize.checkpoints.described import DescribedWeights
from quantize.errors import CheckpointError

# Classes with a head, by the ends of their names.
_WITH_HEAD = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
# Tensors in whose place the head's is not missed.
_HEADS = ("output.weight", "cls.output.weight")


def check_head(
    checkpoint: DescribedWeights, class_names: Collection[str], targets: Collection[str]
) -> None:
    """Raise CheckpointError("missing-tensors") where an output matrix was lost.

    `class_names`: those of config.json. `targets`: the GGUF tensors. A model that
    sentence-transformers saved never had one, whatever its class is called.
    """
    config = text_part(checkpoint.config)
    untied = config.get("tie_word_embeddings") is False
    has_head = any(name.endswith(_WITH_HEAD) for name in class_names)
    if not (untied and has_head) or any(name in targets for name in _HEADS):
        return
    if "modules.json" in checkpoint.names():
        return
    raise CheckpointError(
        "missing-tensors",
        "the output matrix is missing",
        where="lm_head.weight",
        reason="tie_word_embeddings is false in config.json, so the embedding does not replace it",
        hint="a weight file is missing: download the checkpoint again; "
        "or correct tie_word_embeddings to true, if the model is one that ties them",
    )
