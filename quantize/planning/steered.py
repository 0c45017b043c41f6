"""What steering does to a model: rules that find nothing are refused, idle ones are reported.

llama-quantize goes on in silence in both cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from quantize.errors import UsageError
from quantize.planning.model import Model
from quantize.planning.plan import Plan
from quantize.planning.planner import choices_of, facts_of
from quantize.recipes import Recipe
from quantize.recipes.categories import OUTPUT, category
from quantize.tensors import GGML_TYPES


def check_rules(model: Model, recipe: Recipe) -> None:
    """Raise UsageError for a rule of the command line that names no tensor of the model."""
    names = [(output.name, category(output.name)) for output in model.outputs]
    layers = facts_of(model).block_count
    for rule in recipe.steering.rules:
        if not rule.optional and not any(rule.names(name, kind, layers) for name, kind in names):
            raise UsageError(
                "unmatched-rule",
                f"no tensor has a name in which {rule.pattern!r} is found",
                where=rule.said,
                reason="a pattern is taken in lower case, as llama-quantize takes it",
                hint="`quantize plan SOURCE --all` lists the names",
            )


def notes_on_recipe(model: Model, recipe: Recipe, plan: Plan) -> tuple[str, ...]:
    """Notes on options that had no effect, and on tensors that were requantized."""
    return (*_on_rules(model, recipe), *_on_the_output(model, recipe), *_on_sources(model, plan))


def _on_rules(model: Model, recipe: Recipe) -> Iterator[str]:
    used = {choice.rule for choice in choices_of(model, recipe)}
    idle = [rule for rule in recipe.steering.rules if rule not in used]
    if idle and GGML_TYPES[recipe.mix.default].block_size == 1:
        yield f"{recipe.name}: rules for tensors are for quantized file types, and change nothing"
        return
    for rule in idle:
        yield f"{recipe.name}: {rule.said} decides about no tensor"


def _on_the_output(model: Model, recipe: Recipe) -> Iterator[str]:
    steering = recipe.steering
    tied = all(category(output.name) != OUTPUT for output in model.outputs)
    if tied and steering.leave_output:
        yield "--leave-output-tensor changes nothing: the model has no output.weight"
    floats = GGML_TYPES[recipe.mix.default].block_size == 1
    hidden = steering.leave_output if not tied else floats or steering.pure
    if steering.output_type and (hidden or (tied and steering.embedding_type)):
        yield f"{recipe.name}: --output-tensor-type changes nothing"


def _on_sources(model: Model, plan: Plan) -> Iterator[str]:
    """From what, and how many tensors of it."""
    requantized = Counter(
        output.stored
        for output, tensor in zip(model.outputs, plan.tensors, strict=True)
        if GGML_TYPES[output.stored].block_size > 1 and output.stored != tensor.type
    )
    if requantized:
        what = ", ".join(f"{count} tensors from {stored}" for stored, count in requantized.items())
        yield f"{plan.recipe_name}: quantized again: {what}. It cannot be better than they are"
