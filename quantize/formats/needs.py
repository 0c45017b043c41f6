"""What llama.cpp needs of a model's file, by architecture: key-values and tensors.

needs.json is measured: scripts/write_needs.py takes each key-value and tensor of the models of an
architecture away, and looks whether llama.cpp still loads the file and computes the same.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypedDict

from quantize.formats.kv import KeyValues
from quantize.tensors import Shape

BLOCK = re.compile(r"((?:enc\.|dec\.)?blk)\.(\d+)\.(.+)")
# Of a block that lacks more than this part of the likeliest kind nothing is said: it is another.
_MOST_MISSING = 1 / 3
# Far more blocks than any model has. Each is compared with the others.
_MOST_BLOCKS = 1000
# Tensor of a block -> the key without which it means nothing, where models of the architecture
# have that key.
_KEYS_OF_TENSORS = {
    "ffn_up_exps.weight": ("expert_count", "expert_used_count"),
    "ffn_down_exps.weight": ("expert_count", "expert_used_count"),
    "ffn_up_shexp.weight": ("expert_shared_feed_forward_length",),
    "exp_probs_b.bias": ("expert_weights_norm",),
    "nextn.enorm.weight": ("nextn_predict_layers",),
    "nextn.hnorm.weight": ("nextn_predict_layers",),
    "rope_factors_long.weight": ("rope.scaling.type",),
}
# Key that is not 0 -> tensors that it announces.
_TENSORS_OF_KEYS = {
    "embedding_length_per_layer_input": (
        "per_layer_model_proj.weight",
        "per_layer_proj_norm.weight",
        "per_layer_token_embd.weight",
    ),
}
# Tensors of which none is there without the others.
_TOGETHER = (
    ("attn_q.bias", "attn_k.bias", "attn_v.bias"),
    ("attn_q_norm.weight", "attn_k_norm.weight"),
    ("ffn_up.bias", "ffn_down.bias"),
    ("ffn_up_exps.weight", "ffn_gate_exps.weight"),
    ("rope_factors_long.weight", "rope_factors_short.weight"),
    ("nextn.enorm.weight", "nextn.hnorm.weight"),
)
# Keys that are complete without the architecture.
_ABSOLUTE = ("tokenizer.", "diffusion.", "xielu.")
_SCALING = "rope.scaling."

# What a block is called, and its number; what is in no block has a place of its own.
_Place = tuple[str, int]
_NO_BLOCK: _Place = ("", -1)

Effect = Literal["refused", "differs"]


class Needs(TypedDict):
    """Of one architecture: without `keys`, `tensors` and the tensors of a block nothing loads.

    Without `wanted` llama.cpp computes something else. `optional` are keys and tensors that some
    models have, `loose` tensors of blocks that may be in one and not in the next. `blocks` are the
    kinds of blocks that there are, `first` those of block 0 where it has its own.
    """

    keys: list[str]
    wanted: list[str]
    optional: list[str]
    tensors: list[str]
    blocks: list[list[str]]
    first: list[list[str]]
    loose: list[str]


@dataclass(frozen=True, slots=True)
class Missing:
    """`name` is a key or a tensor. Without it llama.cpp refuses the file, or computes otherwise."""

    name: str
    effect: Effect


def missing(kvs: KeyValues, tensors: Mapping[str, Shape]) -> Iterator[Missing]:
    """What is not there of what llama.cpp needs, as far as the file itself tells.

    What a model may have or not, such as a head of its own, is not missed.
    """
    needs = table().get(kvs.arch)
    if needs is not None:
        yield from _missing(needs, kvs, tensors)


def optional(kvs: KeyValues, tensors: Iterable[str]) -> list[str]:
    """What other models of the architecture have and this one has not, for it may be missing."""
    needs = table().get(kvs.arch)
    if needs is None:
        return []
    implied = {key for keys in _KEYS_OF_TENSORS.values() for key in keys}
    names = set(tensors)
    found = kvs.hparams.keys() | names | implied
    blocks = [some for place, some in _by_block(names).items() if place != _NO_BLOCK]
    here = {name: sum(name in block for block in blocks) for name in needs["loose"]}
    loose = [name for name, count in here.items() if 0 < count < len(blocks)]
    return [*(name for name in needs["optional"] if name not in found), *loose]


@cache
def table() -> Mapping[str, Needs]:
    """By architecture."""
    text = files(__package__).joinpath("needs.json").read_text(encoding="utf-8")
    found: Mapping[str, Needs] = json.loads(text)
    return found


def _missing(needs: Needs, kvs: KeyValues, tensors: Mapping[str, Shape]) -> Iterator[Missing]:
    values = kvs.hparams
    absent = {
        key: key if key.startswith(_ABSOLUTE) else f"{kvs.arch}.{key}"
        for key in (*needs["keys"], *needs["wanted"], *needs["optional"])
        if key not in values and kvs.value(key) is None
    }
    yield from _named(needs["keys"], absent, "refused")
    yield from _named(needs["wanted"], absent, "differs")
    implied = _implied(tensors)
    yield from _named([key for key in needs["optional"] if key in implied], absent, "refused")
    if sum(tensors.get("cls.output.weight", ())[:1]) > 1:
        yield from _named(("classifier.output_labels",), absent, "refused")
    yield from _scaling(kvs.arch, values)
    announced = [name for key, some in _TENSORS_OF_KEYS.items() if values.get(key) for name in some]
    for name in (*needs["tensors"], *announced):
        if name not in tensors:
            yield Missing(name, "refused")
    yield from _blocks(needs, tensors)


def _named(keys: Iterable[str], absent: Mapping[str, str], effect: Effect) -> Iterator[Missing]:
    return (Missing(absent[key], effect) for key in keys if key in absent)


def _implied(tensors: Iterable[str]) -> set[str]:
    """The keys that tensors make needed."""
    names = {BLOCK.sub(r"\3", name) for name in tensors}
    return {key for name, keys in _KEYS_OF_TENSORS.items() if name in names for key in keys}


def _scaling(arch: str, values: Mapping[str, Any]) -> Iterator[Missing]:
    """Parts of RoPE's scaling that mean nothing alone."""
    present = {key.removeprefix(_SCALING) for key in values if key.startswith(_SCALING)}
    kind = values.get(f"{_SCALING}type")
    needed = {"type"} if "factor" in present else set()
    needed |= {"factor"} if kind in ("linear", "yarn") else set()
    needed |= {"original_context_length"} if kind == "yarn" else set()
    yield from (Missing(f"{arch}.{_SCALING}{key}", "differs") for key in sorted(needed - present))


def _blocks(needs: Needs, tensors: Iterable[str]) -> Iterator[Missing]:
    blocks = _by_block(tensors)
    if len(blocks) > _MOST_BLOCKS:
        return
    every = {name for kind in (*needs["blocks"], *needs["first"]) for name in kind}
    absent: dict[_Place, set[str]] = {}
    for place, present in blocks.items():
        kinds = needs["first"] if place[1] == 0 and needs["first"] else needs["blocks"]
        absent[place] = _absent(kinds, present & every) if place != _NO_BLOCK else set()
    whole = {place: present & every | absent[place] for place, present in blocks.items()}
    for place, present in sorted(blocks.items()):
        where = "" if place == _NO_BLOCK else f"{place[0]}.{place[1]}."
        yield from (Missing(where + name, "refused") for name in sorted(absent[place]))
        others = [
            some
            for other, some in blocks.items()
            if other != place and other[0] == place[0] and _is_related(whole[place], whole[other])
        ]
        everywhere = set.intersection(*others) - every if others else set()
        partners = {name for group in _TOGETHER if present.intersection(group) for name in group}
        differs = (everywhere | partners) - present - absent[place] - set(needs["loose"])
        yield from (Missing(where + name, "differs") for name in sorted(differs))


def _by_block(tensors: Iterable[str]) -> dict[_Place, set[str]]:
    found: dict[_Place, set[str]] = defaultdict(set)
    for name in tensors:
        match = BLOCK.fullmatch(name)
        found[(match[1], int(match[2])) if match else _NO_BLOCK].add(match[3] if match else name)
    return found


def _is_related(one: set[str], other: set[str]) -> bool:
    """Whether two blocks are of one kind, but for what only one of them has."""
    return one <= other or other <= one


def _absent(kinds: Sequence[Sequence[str]], present: set[str]) -> set[str]:
    """What the likeliest kind of block has besides; nothing if none is likely."""
    known = [set(kind) for kind in kinds]
    if not known or present in known:
        return set()
    kind = min(known, key=lambda one: (len(one ^ present), len(present - one)))
    absent = kind - present
    return absent if len(absent) <= len(kind) * _MOST_MISSING else set()
