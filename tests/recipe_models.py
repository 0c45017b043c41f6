"""Shapes of models larger than the kit's, and types of their tensors as readable text.

The kit's models have at most six layers, so no "first eighth" of them exists. What llama.cpp says
of these is in tests/data/recipes/, written by scripts/make_recipe_goldens.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from quantize.recipes import ModelFacts
from quantize.tensors import Shape

_BLOCK = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True)
class RecipeModel:
    """`cols` is the hidden size, `ff` the row length of ffn_down."""

    arch: str
    layers: int
    heads: int
    heads_kv: int
    experts: int = 0
    tied: bool = False
    cols: int = 512
    ff: int = 768

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts(self.arch, self.layers, self.heads, self.heads_kv, self.experts)

    def tensors(self) -> list[tuple[str, Shape]]:
        """Matrices and a norm, in llama-quantize's order."""
        cols, ff, n_expert = self.cols, self.ff, self.experts
        found: list[tuple[str, Shape]] = [] if self.tied else [("output.weight", (3200, cols))]
        found += [("output_norm.weight", (cols,)), ("token_embd.weight", (3200, cols))]
        attention = ("attn_qkv",) if self.arch == "falcon" else ("attn_k", "attn_q", "attn_v")
        block: dict[str, Shape] = dict.fromkeys(attention, (256, cols))
        block["attn_output"] = (cols, cols)
        if n_expert:
            block["ffn_gate_inp"] = (n_expert, cols)
            block |= {"ffn_down_shexp": (cols, ff), "ffn_up_shexp": (ff, cols)}
            block |= {"ffn_down_exps": (n_expert, cols, ff), "ffn_up_exps": (n_expert, ff, cols)}
        else:
            block |= {"ffn_down": (cols, ff), "ffn_gate": (ff, cols), "ffn_up": (ff, cols)}
        for i in range(self.layers):
            found += [(f"blk.{i}.{name}.weight", block[name]) for name in sorted(block)]
        return found


RECIPE_MODELS = {
    "llama-8b": RecipeModel("llama", 32, 32, 8),
    "llama-13b": RecipeModel("llama", 40, 40, 40),
    "llama-65b": RecipeModel("llama", 80, 64, 64),
    "llama-70b": RecipeModel("llama", 80, 64, 8),
    "mixtral-8x": RecipeModel("llama", 32, 32, 8, experts=8),
    "qwen2-tied-odd": RecipeModel("qwen2", 28, 12, 2, tied=True, cols=704, ff=1216),
    "qwen3moe-16x": RecipeModel("qwen3moe", 48, 32, 4, experts=16),
    "falcon": RecipeModel("falcon", 60, 71, 1),
}


def render(tensors: Iterable[tuple[str, Shape]], types: Iterable[str]) -> str:
    """One line per kind of tensor: its name, then each type with the layers that have it."""
    kinds: dict[str, dict[str, list[int]]] = {}
    for (name, _), kind in zip(tensors, types, strict=True):
        block = _BLOCK.match(name)
        layers = kinds.setdefault(_BLOCK.sub("", name), {}).setdefault(kind, [])
        if block:
            layers.append(int(block[1]))
    return "".join(
        f"  {name} {'; '.join(f'{kind} {ranges(of)}'.strip() for kind, of in found.items())}\n"
        for name, found in sorted(kinds.items())
    )


def ranges(numbers: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
