"""Hyper-parameters to GGUF key-values: a table of rows, read in order.

Names and value types are llama.cpp's (gguf constants); the order is that of its converter, so
that whole files can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from quantize.architectures import hparams as names
from quantize.architectures.hparams import Hparams
from quantize.errors import CheckpointError
from quantize.formats.kv import KV

Value = tuple[str, ...] | Callable[[Hparams], Any]

_ABSOLUTE = ("general.", "diffusion.", "xielu.", "tokenizer.")


@dataclass(frozen=True, slots=True)
class Key:
    """One row: `name` without the architecture, value type, and where the value comes from.

    Names in the groups of `_ABSOLUTE` are complete as they are.

    `value` is config keys, of which the first present counts, or a function of the hparams. A row
    whose value is None is left out.
    """

    name: str
    type: str
    value: Value


def u32(name: str, *value: Any) -> Key:
    return Key(name, "UINT32", _source(value))


def f32(name: str, *value: Any) -> Key:
    return Key(name, "FLOAT32", _source(value))


def boolean(name: str, *value: Any) -> Key:
    return Key(name, "BOOL", _source(value))


def string(name: str, *value: Any) -> Key:
    return Key(name, "STRING", _source(value))


def array(name: str, element: str, *value: Any) -> Key:
    return Key(name, f"ARRAY[{element}]", _source(value))


def _source(value: tuple[Any, ...]) -> Value:
    if len(value) == 1 and callable(value[0]):
        source: Callable[[Hparams], Any] = value[0]
        return source
    return tuple(value)


_CASTS: dict[str, Callable[[Any], Any]] = {
    "UINT32": int, "INT32": int, "FLOAT32": float, "BOOL": bool, "STRING": str,
}  # fmt: skip


def key_values(rows: Iterable[Key], arch: str, hp: Hparams) -> list[KV]:
    """The rows' key-values. A name that comes again changes the value and keeps its place.

    A value whose Python type is a list becomes an array: llama.cpp writes per-layer values under
    the key of the scalar.
    """
    found: dict[str, KV] = {}
    for row in rows:
        value = row.value(hp) if callable(row.value) else hp.optional(*row.value)
        if value is None:
            continue
        key = full_name(arch, row.name)
        found[key] = _typed(key, row.type, value)
    return list(found.values())


def full_name(arch: str, name: str) -> str:
    """A row's name as the file has it."""
    return name if name.startswith(_ABSOLUTE) else f"{arch}.{name}"


def _typed(key: str, kind: str, value: Any) -> KV:
    if isinstance(value, (list, tuple)) and not kind.startswith("ARRAY"):
        element = "INT32" if kind == "UINT32" else kind
        kind = f"ARRAY[{element}]"
    if value in ([], ()):
        raise _bad(key, value, "an empty list says nothing")
    try:
        if kind.startswith("ARRAY"):
            cast = _CASTS[kind[6:-1]]
            return KV(key, kind, tuple(cast(v) for v in value))
        return KV(key, kind, _CASTS[kind](value))
    except (OverflowError, TypeError, ValueError) as error:
        raise _bad(key, value, str(error)) from error


def _short(value: Any) -> str:
    try:
        return repr(value)[:80]
    except ValueError:  # Python writes out no number of more than 4300 digits
        return "a number of thousands of digits"


def _bad(key: str, value: Any, reason: str) -> CheckpointError:
    return CheckpointError(
        "bad-hparam",
        f"{_short(value)} cannot be the value of {key}",
        where="config.json",
        reason=reason,
        hint="compare config.json with the one on the model's page",
    )


def _rope_scaling(hp: Hparams) -> str | None:
    rope = hp.full_rope
    kind = rope.get("rope_type")
    if kind is None:
        return None
    if kind in ("linear", "yarn"):
        return str(kind) if rope.get("factor") is not None else None
    return "longrope" if kind in ("su", "longrope") else None


def _scaled(kind: str, *keys: str) -> Callable[[Hparams], Any]:
    """The first of `keys` among the RoPE parameters, if they scale by `kind` ("*": any factor)."""

    def value(hp: Hparams) -> Any:
        scaling = _rope_scaling(hp)
        if scaling != kind and not (kind == "*" and scaling in ("linear", "yarn")):
            return None
        return next((hp.full_rope[key] for key in keys if key in hp.full_rope), None)

    return value


def _mrope_sections(hp: Hparams) -> list[int] | None:
    sections = hp.rope.get("mrope_section")
    return None if sections is None else [*sections, 0, 0, 0, 0][:4]


_GATING = {"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}


def _gating(hp: Hparams) -> int | None:
    name = hp.optional(
        "score_function", "scoring_func", "score_func", "moe_router_activation",
        "moe_router_activation_func", "expert_selection_fn",
    )  # fmt: skip
    if name is None:
        return None
    if name not in _GATING:
        raise CheckpointError(
            "unknown-gating",
            f"expert gating function {name!r} is not known",
            where="config.json",
            reason=f"llama.cpp has {', '.join(sorted(_GATING))}",
        )
    return _GATING[name]


ROPE_SCALING = (
    string("rope.scaling.type", _rope_scaling),
    f32("rope.scaling.factor", _scaled("*", "factor")),
    u32(
        "rope.scaling.original_context_length", _scaled("yarn", "original_max_position_embeddings")
    ),
    f32("rope.scaling.yarn_ext_factor", _scaled("yarn", "extrapolation_factor")),
    f32("rope.scaling.yarn_attn_factor", _scaled("yarn", "attention_factor", "attn_factor")),
    f32("rope.scaling.yarn_beta_fast", _scaled("yarn", "beta_fast")),
    f32("rope.scaling.yarn_beta_slow", _scaled("yarn", "beta_slow")),
)

# What every text model has, in the converter's order; absent hparams leave their row out.
COMMON = (
    u32("block_count", *names.BLOCK_COUNT),
    u32("context_length", *names.CONTEXT_LENGTH),
    u32("embedding_length", *names.EMBEDDING_LENGTH),
    u32("feed_forward_length", *names.FEED_FORWARD_LENGTH),
    u32("attention.head_count", *names.HEAD_COUNT),
    u32("attention.head_count_kv", *names.HEAD_COUNT_KV),
    boolean("attention.causal", lambda hp: False if hp.get("is_causal") is False else None),
    *ROPE_SCALING,
    array("rope.dimension_sections", "INT32", _mrope_sections),
    f32("rope.freq_base", lambda hp: hp.full_rope.get("rope_theta")),
    f32("rope.freq_base_swa", lambda hp: hp.rope.get("sliding_attention", {}).get("rope_theta")),
    f32("attention.layer_norm_rms_epsilon", "rms_norm_eps", "norm_eps"),
    f32("attention.layer_norm_epsilon", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"),
    u32("expert_count", *names.EXPERT_COUNT),
    u32("expert_used_count", *names.EXPERT_USED_COUNT),
    u32("expert_group_count", "n_group"),
    u32("expert_group_used_count", "topk_group"),
    u32("expert_gating_func", _gating),
    u32("attention.key_length", "head_dim"),
    u32("attention.value_length", "head_dim"),
)


def without(rows: Iterable[Key], *names: str) -> tuple[Key, ...]:
    """The rows but those of these names, for a family that does not write them."""
    return tuple(row for row in rows if row.name not in names)


def sliding_layers(hp: Hparams) -> list[bool] | None:
    """Which blocks attend to a window only, as `layer_types` says."""
    types = hp.get("layer_types")
    return None if types is None else [kind == "sliding_attention" for kind in types]


# Of decoders in GPT-NeoX's way, which name no more than their sizes.
SIZES = (
    u32("context_length", "max_position_embeddings"),
    u32("embedding_length", "hidden_size"),
    u32("block_count", "num_hidden_layers"),
    u32("feed_forward_length", "intermediate_size"),
)
# Of state-space models without attention.
WITHOUT_ATTENTION = (
    u32("context_length", lambda hp: 2**20),  # no limit of its own
    u32("embedding_length", "hidden_size"),
    u32("feed_forward_length", lambda hp: 0),
    u32("attention.head_count", lambda hp: 0),
    u32("block_count", lambda hp: hp.block_count),
)
