"""From a recipe to the type of each tensor.

Source: src/llama-quant.cpp of llama.cpp, llama_tensor_get_type and tensor_requires_imatrix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from quantize.errors import UnsupportedError, UsageError
from quantize.recipes.categories import ATTN_V, OUTPUT, TOKEN_EMBD, category, why_kept
from quantize.recipes.facts import ModelFacts
from quantize.recipes.fallback import falls_back, fitting
from quantize.recipes.mixes import Place, rows_of
from quantize.recipes.recipe import Recipe
from quantize.recipes.steering import TypeRule
from quantize.tensors import BLOCK, FLOAT_TYPES, GGML_TYPES, Shape

IN_NEED_OF_IMATRIX = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"}
# ggml.c, ggml_quantize_requires_imatrix: it ends the process, where others only lose much.
_NOTHING_WITHOUT_IMATRIX = {"IQ1_S", "IQ2_XXS", "IQ2_XS"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor before it has a type. `stored` is the ggml type of the source's values.

    Values that come from a checkpoint as floats are F32, as in llama.cpp's own conversion. `kept`:
    a quantized tensor keeps its type unless requantizing is allowed.
    """

    name: str
    shape: Shape
    stored: str = "F32"
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The ggml type of one tensor, and why in a few words.

    `rule` is the one of the recipe's that decided. `needs_imatrix`: without an importance matrix,
    its few bits would go to the wrong weights.
    """

    type: str
    reason: str
    rule: TypeRule | None = None
    needs_imatrix: bool = False


def choose(recipe: Recipe, facts: ModelFacts, tensors: Sequence[Tensor]) -> list[Choice]:
    """A type for each tensor, which come in llama-quantize's order: the mixes count them.

    Raises UnsupportedError for a tensor that would be quantized once more without leave, UsageError
    for a type that the recipe asks for in rows that it does not fit.
    """
    walk = _Walk(recipe, facts, [category(tensor.name) for tensor in tensors])
    return [walk.choose(tensor) for tensor in tensors]


class _Walk:
    """Goes through a model's tensors once, counting those of each category."""

    def __init__(self, recipe: Recipe, facts: ModelFacts, categories: Sequence[str]) -> None:
        self._recipe = recipe
        self._facts = facts
        self._n_attn_v = categories.count(ATTN_V)
        self._tied = OUTPUT not in categories
        self._seen: Counter[str] = Counter()

    def choose(self, tensor: Tensor) -> Choice:
        kept = self._why_kept(tensor)
        if kept is not None:
            return Choice(tensor.stored, f"{tensor.stored}: {kept}")
        choice = self._chosen(tensor)
        if GGML_TYPES[tensor.stored].block_size > 1:
            choice = self._over_stored(tensor, choice)
        return replace(choice, needs_imatrix=self._needs_imatrix(tensor, choice.type))

    def _why_kept(self, tensor: Tensor) -> str | None:
        if self._recipe.steering.leave_output and category(tensor.name) == OUTPUT:
            return "--leave-output-tensor"
        return why_kept(tensor.name, tensor.shape, self._facts.arch)

    def _chosen(self, tensor: Tensor) -> Choice:
        steering, mix = self._recipe.steering, self._recipe.mix
        kind = category(tensor.name)
        rule = self._rule(tensor.name, kind)
        if steering.embedding_type and kind == TOKEN_EMBD and not _separate(tensor.name, rule):
            return _demanded(tensor, steering.embedding_type, "--token-embedding-type")
        if steering.output_type and kind == OUTPUT:
            return _demanded(tensor, steering.output_type, "--output-tensor-type")
        if mix.default in FLOAT_TYPES:
            return Choice(mix.default, f"{mix.name}: every matrix")
        if rule is not None:
            wanted, why = rule.type, rule.said
        elif steering.pure:
            wanted, why = mix.default, f"{mix.name}: pure"
        else:
            wanted, why = self._mixed(tensor, kind)
        if not falls_back(wanted):
            _check_row(tensor, wanted, why)
        fits, detour = fitting(wanted, tensor.shape[-1])
        return Choice(fits, f"{why}; {detour}" if detour else why, rule)

    def _rule(self, name: str, kind: str) -> TypeRule | None:
        layers = self._facts.block_count
        rules = self._recipe.steering.rules
        return next((rule for rule in rules if rule.names(name, kind, layers)), None)

    def _mixed(self, tensor: Tensor, kind: str) -> tuple[str, str]:
        """The type that the mix asks for, whether or not the row length allows it."""
        slot = self._slot(kind, tensor)
        self._seen[kind] += 1
        mix, output_type = self._recipe.mix, self._recipe.steering.output_type
        tied = self._tied and kind == TOKEN_EMBD
        if tied and output_type:
            return output_type, "--output-tensor-type: tied output"
        for row in rows_of(kind, tied=self._tied):
            if row.holds(mix.name, slot):
                what = "tied output" if tied else kind
                return row.type, " ".join(filter(None, (f"{mix.name}: {what}", row.when.text)))
        return mix.default, f"{mix.name}: default"

    def _slot(self, kind: str, tensor: Tensor) -> Place:
        number = layer = self._seen[kind]
        block = BLOCK.match(tensor.name)
        if kind != ATTN_V and block and self._facts.expert_count > 1:
            # With experts a layer may have several of a kind, so that counting says nothing.
            layer = int(block[1])
        shape = tensor.shape
        return Place(
            name=tensor.name,
            facts=self._facts,
            number=number,
            layer=layer,
            n_layers=self._n_attn_v if kind == ATTN_V else self._facts.block_count,
            fits_default=GGML_TYPES[self._recipe.mix.default].fits(shape[-1]),
            is_stack=len(shape) > 2 and shape[-3] > 1,
        )

    def _over_stored(self, tensor: Tensor, choice: Choice) -> Choice:
        """What becomes of a tensor that is quantized in the source, where `choice` is wanted."""
        stored = tensor.stored
        if choice.type == stored:
            return replace(choice, reason=f"{choice.reason}; moved as stored")
        if self._recipe.steering.allow_requantize:
            return replace(choice, reason=f"{choice.reason}; again from {stored}")
        if tensor.kept:
            return Choice(stored, f"stored as {stored}: moved without loss")
        raise UnsupportedError(
            "quantized-source",
            f"{stored} in the source, {choice.type} in a {self._recipe.name} file",
            where=tensor.name,
            reason="quantizing again adds the errors of both types",
            hint="use the checkpoint, or an F32, F16 or BF16 file of the same model; "
            "--allow-requantize if there is none",
        )

    def _needs_imatrix(self, tensor: Tensor, type_name: str) -> bool:
        kind = category(tensor.name)
        if type_name == tensor.stored:
            return False
        if kind in (OUTPUT, TOKEN_EMBD):
            return type_name in _NOTHING_WITHOUT_IMATRIX
        # Q2_K does well without, but a file all of Q2_K does not.
        in_need = type_name == "Q2_K" and self._recipe.mix.name == "Q2_K_S"
        return in_need or type_name in IN_NEED_OF_IMATRIX


def _separate(name: str, rule: TypeRule | None) -> bool:
    """Whether this table, which is not the token embeddings themselves, has a rule of its own."""
    return name == "per_layer_token_embd.weight" and rule is not None


def _demanded(tensor: Tensor, wanted: str, option: str) -> Choice:
    """A type that llama-quantize takes without looking at the row length."""
    _check_row(tensor, wanted, option)
    return Choice(wanted, f"{option} {wanted}")


def _check_row(tensor: Tensor, wanted: str, why: str) -> None:
    """Raise UsageError unless rows of the tensor are whole numbers of `wanted` blocks."""
    kind, cols = GGML_TYPES[wanted], tensor.shape[-1]
    if not kind.fits(cols):
        fits, _ = fitting("Q8_0", cols)
        raise UsageError(
            "row-misfit",
            f"rows of {cols} are not a whole number of {wanted} blocks",
            where=tensor.name,
            reason=f"a block of {wanted} has {kind.block_size} weights, and {why} asks for it",
            hint=f"{fits} would fit",
        )
