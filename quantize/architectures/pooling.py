"""How an embedding model makes one vector of its tokens', as sentence-transformers records it."""

from __future__ import annotations

from collections.abc import Mapping

from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32
from quantize.errors import CheckpointError

# llama.h, enum llama_pooling_type.
MEAN, CLS, LAST = 1, 2, 3
# Switches of the Pooling module's config.json, in the order in which they count.
_SWITCHES = (
    ("pooling_mode_mean_tokens", MEAN),
    ("pooling_mode_cls_token", CLS),
    ("pooling_mode_lasttoken", LAST),
)
_MODES = {"mean": MEAN, "cls": CLS, "lasttoken": LAST}


def _pooling_type(hp: Hparams) -> int | None:
    """From the first Pooling module that modules.json lists; None if there is none."""
    modules = hp.read_json("modules.json") or ()
    folder = next((m["path"] for m in modules if str(m["type"]).endswith("Pooling")), None)
    if folder is None:
        return None
    where = f"{folder}/config.json"
    config = hp.read_json(where) or {}
    for switch, kind in _SWITCHES:
        if config.get(switch):
            return kind
    if config.get("pooling_mode") in _MODES:
        return _MODES[config["pooling_mode"]]
    raise CheckpointError(
        "unknown-pooling",
        "no pooling that llama.cpp knows is switched on",
        where=where,
        reason="llama.cpp pools by mean, by the first (cls) or by the last token",
    )


def _classifier_pooling(hp: Hparams) -> int | None:
    """What a classifier looks at, where config.json says it (ModernBERT)."""
    mode = hp.get("classifier_pooling")
    if mode is None:
        return None
    if mode not in ("mean", "cls"):
        raise CheckpointError(
            "unknown-pooling",
            f"classifier_pooling is {mode!r}",
            where="config.json",
            reason="llama.cpp pools by mean or by the first token (cls) before a classifier",
        )
    return _MODES[mode]


# Modules of sentence-transformers that a GGUF file or llama.cpp itself does the work of.
_IN_LLAMA_CPP = ("Transformer", "Pooling", "Normalize")


def notes_on_modules(hp: Hparams) -> list[str]:
    """A line for each module of an embedding model that the file does not hold."""
    modules = hp.read_json("modules.json")
    return [
        f"{module.get('path')}: a module {str(module.get('type')).rpartition('.')[2]} follows the "
        "model; it is not in the file, whose vectors are those before it"
        for module in (modules if isinstance(modules, list) else ())
        if isinstance(module, Mapping) and not str(module.get("type")).endswith(_IN_LLAMA_CPP)
    ]


POOLING = (
    u32("pooling_type", _pooling_type),
    u32("classifier.pooling_type", _classifier_pooling),
)
