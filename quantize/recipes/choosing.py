"""From a file type to the type of each tensor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantize.errors import UnsupportedError, UsageError
from quantize.recipes.categories import ATTN_V, OUTPUT, TOKEN_EMBD, category, why_kept
from quantize.recipes.facts import ModelFacts
from quantize.recipes.fallback import fitting
from quantize.recipes.ftypes import FileType, file_type
from quantize.recipes.mixes import Slot, rows_of
from quantize.tensors import GGML_TYPES, Shape

_FLOATS = {"F32", "F16", "BF16"}
_BLOCK = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Choice:
    """The ggml type of one tensor, and why in a few words."""

    type: str
    reason: str


def choose(
    ftype: str,
    facts: ModelFacts,
    tensors: Sequence[tuple[str, Shape]],
    stored: Mapping[str, str] | None = None,
) -> list[Choice]:
    """A type for each tensor, which come in llama-quantize's order: the mixes count them.

    `stored` has the types of tensors that are quantized in the source already. Raises
    UnsupportedError for an unknown file type or one that would quantize such a tensor anew,
    UsageError for a type that needs an importance matrix when there is none.
    """
    chosen = file_type(ftype)
    if chosen.needs_imatrix and not facts.has_imatrix:
        raise UsageError(
            "needs-imatrix",
            f"{chosen.name} needs an importance matrix",
            reason="without one, its few bits go to the wrong weights",
            hint=f"take {chosen.default} or a larger type",
        )
    mix = _Mix(chosen, facts, [category(name) for name, _ in tensors])
    choices = [mix.choose(name, shape) for name, shape in tensors]
    stored = stored or {}
    return [
        _keep_stored(chosen, name, choice, stored[name]) if name in stored else choice
        for (name, _), choice in zip(tensors, choices, strict=True)
    ]


class _Mix:
    """Walks through a model's tensors once, counting those of each category."""

    def __init__(self, ftype: FileType, facts: ModelFacts, categories: Sequence[str]) -> None:
        self._ftype = ftype
        self._facts = facts
        self._n_attn_v = categories.count(ATTN_V)
        self._tied = OUTPUT not in categories
        self._seen: Counter[str] = Counter()

    def choose(self, name: str, shape: Shape) -> Choice:
        kept = why_kept(name, shape)
        if kept is not None:
            return Choice("F32", f"F32: {kept}")
        default = self._ftype.default
        if default in _FLOATS:
            return Choice(default, f"{self._ftype.name}: every matrix")
        wanted, why = self._wanted(name, shape)
        fits, detour = fitting(wanted, shape[-1])
        return Choice(fits, f"{why}; {detour}" if detour else why)

    def _wanted(self, name: str, shape: Shape) -> tuple[str, str]:
        """The type that the mix asks for, whether or not the row length allows it."""
        kind = category(name)
        slot = self._slot(kind, name, shape)
        self._seen[kind] += 1
        ftype = self._ftype
        for row in rows_of(kind, tied=self._tied):
            if row.holds(ftype.name, slot):
                what = "tied output" if self._tied and kind == TOKEN_EMBD else kind
                return row.type, " ".join(filter(None, (f"{ftype.name}: {what}", row.when.text)))
        return ftype.default, f"{ftype.name}: default"

    def _slot(self, kind: str, name: str, shape: Shape) -> Slot:
        layer = self._seen[kind]
        block = _BLOCK.match(name)
        if kind != ATTN_V and block and self._facts.expert_count > 1:
            # With experts a layer may have several of a kind, so that counting says nothing.
            layer = int(block[1])
        return Slot(
            facts=self._facts,
            layer=layer,
            n_layers=self._n_attn_v if kind == ATTN_V else self._facts.block_count,
            fits_default=GGML_TYPES[self._ftype.default].fits(shape[-1]),
            is_stack=len(shape) > 2 and shape[-3] > 1,
        )


def _keep_stored(ftype: FileType, name: str, choice: Choice, stored: str) -> Choice:
    """Keep what is quantized already: so llama.cpp's converter does for types of 8 bits and more.

    llama-quantize refuses all types that would quantize such a tensor again.
    """
    if choice.type == stored or ftype.default in _FLOATS or ftype.default == "Q8_0":
        return Choice(stored, f"{stored}: as stored")
    raise UnsupportedError(
        "requantize",
        f"{stored} in the source, {choice.type} in a {ftype.name} file",
        where=name,
        reason="quantizing what is quantized already loses more than either type does",
        hint="take a type that keeps it: Q8_0" + (" or MXFP4_MOE" if stored == "MXFP4" else ""),
    )
