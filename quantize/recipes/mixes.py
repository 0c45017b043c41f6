"""The mixes: for each category, rows of (file types, type, condition). The first that fits wins.

Source: src/llama-quant.cpp of llama.cpp, llama_tensor_get_type_impl. A category without a fitting
row gets the default type of the file type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quantize.recipes.categories import (
    ATTN_K,
    ATTN_OUTPUT,
    ATTN_Q,
    ATTN_V,
    FFN_DOWN,
    FFN_GATE,
    FFN_UP,
    OTHER,
    OUTPUT,
    TOKEN_EMBD,
    category,
)
from quantize.recipes.facts import ModelFacts


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor's place in the model. `number` counts the tensors of its category from 0.

    `layer` is the same, but the block's number where experts may give a block several of a kind.
    """

    name: str
    facts: ModelFacts
    number: int
    layer: int
    n_layers: int
    fits_default: bool
    is_stack: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """When a row holds, and how `plan` says so; "" if a person need not know."""

    text: str
    test: Callable[[Place], bool]

    def __and__(self, other: Condition) -> Condition:
        texts = [text for text in (self.text, other.text) if text]
        return Condition(", ".join(texts), lambda slot: self.test(slot) and other.test(slot))


ALWAYS = Condition("", lambda _: True)


@dataclass(frozen=True, slots=True)
class MixRow:
    """`ftypes`: names of file types with spaces between, or "*" for every one."""

    ftypes: str
    type: str
    when: Condition = ALWAYS

    def holds(self, ftype: str, slot: Place) -> bool:
        return (self.ftypes == "*" or ftype in self.ftypes.split()) and self.when.test(slot)


def _gets_more_bits(slot: Place) -> bool:
    i, n = slot.layer, slot.n_layers
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def _first(part: int) -> Callable[[Place], bool]:
    return lambda slot: slot.layer < slot.n_layers // part


def _may_hold_experts(slot: Place) -> bool:
    # Projections of this one's latent attention have three dimensions too.
    ffn = (FFN_UP, FFN_GATE, FFN_DOWN)
    return slot.facts.arch != "bailingmoe3" or category(slot.name) in ffn


def _is_glm_5_projection(slot: Place) -> bool:
    parts = ("attn_q_a", "attn_q_b", "nextn.eh_proj")
    return slot.facts.arch == "glm5-next" and any(part in slot.name for part in parts)


OUTER = Condition("in the first and last eighth of layers or every third", _gets_more_bits)
FIRST_EIGHTH = Condition("in the first eighth of layers", _first(8))
FIRST_EIGHTH_OF_KIND = Condition(
    "in the first eighth of layers", lambda slot: slot.number < slot.n_layers // 8
)
BETWEEN_EIGHTHS = Condition(
    "in all but the first and last eighth of layers",
    lambda slot: slot.n_layers // 8 <= slot.layer < 7 * slot.n_layers // 8,
)
FIRST_SIXTEENTH = Condition("in the first sixteenth of layers", _first(16))
FIRST_TWO = Condition("in the first two layers", lambda slot: slot.layer < 2)
FIRST_FOUR = Condition("in the first four layers", lambda slot: slot.layer < 4)
SHARED = Condition("shared by four heads or more", lambda slot: slot.facts.heads_per_kv >= 4)
FOUR_EXPERTS = Condition("with four experts", lambda slot: slot.facts.expert_count >= 4)
EIGHT_EXPERTS = Condition("with eight experts", lambda slot: slot.facts.expert_count == 8)
NOT_EIGHT_EXPERTS = Condition("", lambda slot: slot.facts.expert_count != 8)
IMATRIX = Condition("with an imatrix", lambda slot: slot.facts.has_imatrix)
NO_IMATRIX = Condition("without an imatrix", lambda slot: not slot.facts.has_imatrix)
FALCON = Condition("of a Falcon", lambda slot: slot.facts.arch == "falcon")
NOT_FALCON = Condition("", lambda slot: slot.facts.arch != "falcon")
SEVENTY_B = Condition("of a 70B", lambda slot: slot.facts.is_70b)
MISFIT = Condition("of odd row length", lambda slot: not slot.fits_default)
STACK = Condition("of stacked experts", lambda slot: slot.is_stack and _may_hold_experts(slot))
GLM_5_PROJECTION = Condition("of a GLM-5", _is_glm_5_projection)

# The smallest file types have rules of their own, which come first.
_TINY = "IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M"

_OUTPUT = (
    MixRow("MXFP4_MOE", "Q8_0"),
    MixRow("*", "Q8_0", FALCON),
    MixRow("*", "Q8_0", MISFIT),
    MixRow(f"{_TINY} IQ3_XXS", "Q5_K"),
    MixRow("Q8_0", "Q8_0"),
    MixRow("*", "Q6_K"),
)

_EXPERTS_IN_FP4 = (
    MixRow("MXFP4_MOE", "MXFP4", STACK),
    MixRow("MXFP4_MOE", "Q8_0"),
)

_MIXES = {
    TOKEN_EMBD: (
        MixRow("IQ1_S IQ1_M IQ2_XXS IQ2_XS", "Q2_K"),
        MixRow("IQ2_S IQ2_M IQ3_XXS", "IQ3_S"),
        MixRow("TQ1_0 TQ2_0", "Q4_K"),
    ),
    ATTN_V: (
        MixRow(_TINY, "Q4_K", SHARED),
        MixRow(_TINY, "Q4_K", FOUR_EXPERTS),
        MixRow("IQ2_S IQ2_M", "IQ3_S"),
        MixRow(_TINY, "Q2_K"),
        MixRow("*", "Q8_0", EIGHT_EXPERTS),
        MixRow("Q4_K_M Q5_K_M", "Q6_K", OUTER),
        MixRow("Q2_K Q3_K_S Q3_K_M Q4_K_S Q4_K_M IQ3_M", "Q5_K", SEVENTY_B),
        MixRow("Q2_K_S IQ3_XXS IQ3_XS IQ3_S", "Q5_K", SEVENTY_B & SHARED),
        MixRow("Q2_K Q2_K_S IQ3_XXS IQ3_XS IQ3_S", "Q4_K", SHARED),
        MixRow("Q2_K", "Q3_K"),
        MixRow("IQ3_XXS", "IQ3_S", NO_IMATRIX),
        MixRow("IQ3_M", "Q4_K"),
        MixRow("Q3_K_M", "Q5_K", FIRST_TWO),
        MixRow("Q3_K_M", "Q4_K"),
        MixRow("Q3_K_L", "Q5_K"),
        MixRow("Q4_K_S", "Q5_K", FIRST_FOUR),
        MixRow("IQ4_NL IQ4_XS", "Q5_K", SHARED),
    ),
    ATTN_K: (
        MixRow(_TINY, "Q4_K", EIGHT_EXPERTS),
        MixRow("*", "Q8_0", EIGHT_EXPERTS),
        MixRow("IQ3_XS", "IQ3_XXS"),
        MixRow("IQ3_XXS", "IQ2_S"),
    ),
    ATTN_Q: (
        MixRow("IQ3_XS", "IQ3_XXS"),
        MixRow("IQ3_XXS", "IQ2_S"),
    ),
    ATTN_OUTPUT: (
        MixRow(_TINY, "Q5_K", EIGHT_EXPERTS),
        MixRow("IQ1_S IQ1_M", "IQ2_XXS"),
        MixRow("IQ2_S IQ2_M", "IQ3_S"),
        MixRow("Q3_K_L", "Q4_K", FALCON),
        MixRow(
            "Q2_K Q3_K_S Q3_K_M Q4_K_S Q4_K_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS",
            "Q5_K",
            NOT_FALCON & EIGHT_EXPERTS,
        ),
        MixRow("Q2_K", "Q3_K", NOT_FALCON & NOT_EIGHT_EXPERTS),
        MixRow("IQ3_XXS", "IQ3_S", NOT_FALCON & NOT_EIGHT_EXPERTS),
        MixRow("IQ3_M", "Q4_K", NOT_FALCON & NOT_EIGHT_EXPERTS),
        MixRow("Q3_K_M", "Q4_K", NOT_FALCON & NOT_EIGHT_EXPERTS),
        MixRow("Q3_K_L", "Q5_K", NOT_FALCON & NOT_EIGHT_EXPERTS),
    ),
    FFN_DOWN: (
        MixRow("IQ2_S IQ2_M", "IQ3_S", FIRST_EIGHTH_OF_KIND),
        MixRow(_TINY, "Q2_K", FIRST_EIGHTH_OF_KIND),
        MixRow("Q2_K", "Q3_K"),
        MixRow("Q2_K_S", "Q4_K", FIRST_EIGHTH),
        MixRow("IQ3_XXS", "Q4_K", FIRST_EIGHTH & NO_IMATRIX),
        MixRow("IQ3_XXS", "Q3_K", NO_IMATRIX),
        MixRow("IQ3_M", "Q4_K", FIRST_EIGHTH),
        MixRow("IQ3_M", "Q4_K", EIGHT_EXPERTS & OUTER),
        MixRow("Q3_K_M", "Q5_K", FIRST_SIXTEENTH),
        MixRow("Q3_K_M", "Q4_K", NOT_FALCON),
        MixRow("Q3_K_M", "Q4_K", FALCON & OUTER),
        MixRow("Q3_K_L", "Q4_K", FALCON),
        MixRow("Q3_K_L", "Q5_K"),
        MixRow("Q4_K_S", "Q5_K", NOT_FALCON & FIRST_EIGHTH),
        MixRow("Q4_K_M", "Q6_K", FALCON & FIRST_SIXTEENTH),
        MixRow("Q4_K_M", "Q5_K", FALCON & OUTER),
        MixRow("Q4_K_M", "Q6_K", NOT_FALCON & OUTER),
        MixRow("Q5_K_M", "Q6_K", OUTER),
        MixRow("IQ4_NL IQ4_XS", "Q5_K", FIRST_EIGHTH & NO_IMATRIX),
        MixRow("Q4_0", "Q4_1", FIRST_EIGHTH & IMATRIX),
        MixRow("Q5_0", "Q5_1", FIRST_EIGHTH & IMATRIX),
    ),
    FFN_GATE: (MixRow("IQ3_XS", "IQ3_XXS", BETWEEN_EIGHTHS),),
    FFN_UP: (MixRow("IQ3_XS", "IQ3_XXS", BETWEEN_EIGHTHS),),
    OTHER: (MixRow("*", "Q8_0", GLM_5_PROJECTION),),
}


def rows_of(category: str, *, tied: bool) -> tuple[MixRow, ...]:
    """The rows that decide about a category; a tied embedding is the output matrix as well."""
    if category == OUTPUT or (tied and category == TOKEN_EMBD):
        return _OUTPUT
    return (*_EXPERTS_IN_FP4, *_MIXES.get(category, ()))
