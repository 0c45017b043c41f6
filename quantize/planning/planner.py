"""From a model and the file types wanted to complete plans, refusing early what cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from quantize.planning.layout import lay_out, written_shape
from quantize.planning.outputs import Model
from quantize.planning.plan import Plan
from quantize.planning.shapes import check_shapes
from quantize.recipes import Choice, FileType, ModelFacts, choose


def make_plans(
    model: Model, file_types: Sequence[FileType], label: FileType | None = None
) -> tuple[Plan, ...]:
    """One plan for each file type, over the same tensors in the same order.

    `label` is what the files are called in place of the type that chose for them.
    """
    check_shapes(model)
    return tuple(
        lay_out(
            model.name,
            model.arch,
            label or file_type,
            model.kvs,
            model.outputs,
            choices_of(model, file_type),
        )
        for file_type in file_types
    )


def choices_of(model: Model, file_type: FileType) -> list[Choice]:
    """The type of each output, and why."""
    tensors = [(output.name, written_shape(output.shape)) for output in model.outputs]
    return _keep_grids(model, choose(file_type.name, _facts(model), tensors))


def _keep_grids(model: Model, choices: Sequence[Choice]) -> list[Choice]:
    """Weights that are stored on a ggml type's grid stay on it: no other type is as exact."""
    return [
        choice
        if output.grid is None
        else Choice(output.grid, f"stored as {output.grid}: moved without loss")
        for output, choice in zip(model.outputs, choices, strict=True)
    ]


def _facts(model: Model) -> ModelFacts:
    values = {kv.key.removeprefix(f"{model.arch}."): kv.value for kv in model.kvs}
    return ModelFacts(
        arch=model.arch,
        # llama.cpp counts blocks that run in a loop as often as they run.
        block_count=values.get("block_count", 0) * values.get("num_loops", 1),
        head_count=values.get("attention.head_count", 0),
        head_count_kv=values.get("attention.head_count_kv"),
        expert_count=values.get("expert_count", 0),
    )
