"""From a model and the recipes wanted to complete plans, refusing early what cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quantize.errors import QuantizeError, UnsupportedError, UsageError
from quantize.planning.layout import lay_out, written_shape
from quantize.planning.model import Model, OutputTensor
from quantize.planning.plan import Plan
from quantize.planning.shapes import check_shapes
from quantize.quantizers import QUANTIZERS
from quantize.recipes import (
    FTYPES,
    Choice,
    FileType,
    ModelFacts,
    Recipe,
    Steering,
    Tensor,
    choose,
    plain,
)


def make_plans(model: Model, recipes: Sequence[Recipe]) -> tuple[Plan, ...]:
    """One plan for each recipe, over the same tensors in the same order.

    Raises UsageError and UnsupportedError for types that cannot be given to them.
    """
    check_shapes(model)
    return tuple(_plan(model, recipe) for recipe in recipes)


def _plan(model: Model, recipe: Recipe) -> Plan:
    choices = choices_of(model, recipe)
    refused = refusal(model, recipe, choices)
    if refused is not None:
        raise refused
    return lay_out(model, recipe, choices)


def writable(model: Model, steering: Steering) -> Iterator[tuple[FileType, list[Choice]]]:
    """The file types that can be written, the best first, and the types of their tensors.

    Without an imatrix, those that need one are left out.
    """
    for file_type in FTYPES.values():
        recipe = plain(file_type).steered(steering)
        choices = choices_of(model, recipe)
        if refusal(model, recipe, choices) is None:
            yield file_type, choices


def choices_of(model: Model, recipe: Recipe) -> list[Choice]:
    """The type of each output, and why; whether it can be written is not looked at."""
    return choose(recipe, facts_of(model), tensors_of(model))


def tensors_of(model: Model) -> list[Tensor]:
    """The outputs as a recipe sees them."""
    return [
        Tensor(output.name, written_shape(output.shape), output.stored, output.kept)
        for output in model.outputs
    ]


def facts_of(model: Model) -> ModelFacts:
    """What the mixes want to know about the model in addition to its tensors."""
    values = model.kvs.hparams
    return ModelFacts(
        arch=model.arch,
        # llama.cpp counts blocks that run in a loop as often as they run.
        block_count=values.get("block_count", 0) * values.get("num_loops", 1),
        head_count=values.get("attention.head_count", 0),
        head_count_kv=values.get("attention.head_count_kv"),
        expert_count=values.get("expert_count", 0),
        has_imatrix=model.has_imatrix,
    )


def refusal(model: Model, recipe: Recipe, choices: Sequence[Choice]) -> QuantizeError | None:
    """Why a file with these types cannot be written, if it cannot."""
    for output, choice in zip(model.outputs, choices, strict=True):
        if choice.needs_imatrix and output.imatrix is None:
            return _needs_imatrix(model, recipe, output, choice)
        if choice.type == output.exact_type:
            continue
        if output.stored not in QUANTIZERS:
            return UnsupportedError(
                "undecodable-type",
                f"{output.stored} cannot be decoded",
                where=output.name,
                hint="use the checkpoint that the file was made from",
            )
        if choice.type not in QUANTIZERS:
            return UnsupportedError(
                "unwritable-type",
                f"{choice.type} cannot be written",
                where=output.name,
                reason=choice.reason,
                hint="take another type; `quantize types` lists those of files",
            )
    return None


def _needs_imatrix(
    model: Model, recipe: Recipe, output: OutputTensor, choice: Choice
) -> UsageError:
    if model.has_imatrix:
        message = f"the importance matrix lacks the tensor, and {choice.type} needs it"
    else:
        message = f"{recipe.name} needs an importance matrix"
    return UsageError(
        "needs-imatrix",
        message,
        where=output.name,
        reason=f"without one, the few bits of {choice.type} go to the wrong weights",
        hint="--imatrix FILE, or take a larger type, such as Q3_K_M or Q2_K",
    )
