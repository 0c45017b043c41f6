"""Blocks left out of a model, and the others renumbered.

Source: src/llama-quant.cpp of llama.cpp, remap_layer and remap_imatrix. Types are
chosen with the source's block count, except that only remaining tensors are counted. Of the
key-values only the number of blocks changes, so a model is refused whose others speak of single
blocks: llama.cpp would not load it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from quantize.errors import UsageError
from quantize.formats.imatrix import Imatrix
from quantize.formats.kv import KeyValues, u32
from quantize.planning.model import Model
from quantize.tensors import BLOCK, block_of

_OPTION = "--prune-layers"
# Arrays that may be as long as the model is deep, but are not about blocks.
_OTHER_ARRAYS = {"rope.dimension_sections"}
_DENSE = "leading_dense_block_count"

# Number of a block that stays -> its new one.
Numbers = Mapping[int, int]


def prune(model: Model, layers: Sequence[int]) -> Model:
    """The model without the blocks `layers`, which are in ascending order.

    Raises UsageError for blocks that it does not have, or cannot be without.
    """
    if not layers:
        return model
    numbers = numbers_without(model, layers)
    _check(model, layers, numbers)
    outputs = [
        replace(output, name=name)
        for output in model.outputs
        if (name := renamed(output.name, numbers)) is not None
    ]
    # model.kvs keeps the number that the mixes count with.
    count = u32(f"{model.arch}.block_count", max(numbers.values()) + 1)
    return replace(model, outputs=outputs, added=KeyValues(model.added).with_last((count,)))


def numbers_without(model: Model, layers: Sequence[int]) -> Numbers:
    """The new number of each block but `layers`."""
    blocks = (block_of(output.name) for output in model.outputs)
    found = [block for block in blocks if block is not None]
    numbers: dict[int, int] = {}
    following = 0
    for block in sorted(set(found).difference(layers)):
        # Before the first gap numbers stay, even if there is a block without tensors.
        numbers[block] = block if block < layers[0] else following
        following = numbers[block] + 1
    return numbers


def renamed(name: str, numbers: Numbers) -> str | None:
    """The tensor's new name; None if its block goes."""
    block = BLOCK.match(name)
    if block is None:
        return name
    number = numbers.get(int(block[1]))
    return None if number is None else f"blk.{number}.{name[block.end() :]}"


def renumbered(imatrix: Imatrix, numbers: Numbers) -> Imatrix:
    """The matrix with the names that its tensors have in the pruned model."""
    entries = {
        new: entry
        for name, entry in imatrix.entries.items()
        if (new := renamed(name, numbers)) is not None
    }
    return replace(imatrix, entries=entries)


def notes_on_pruning(model: Model, layers: Sequence[int]) -> Iterator[str]:
    """What becomes of the blocks of `model`, which has all of them."""
    if layers:
        numbers = numbers_without(model, layers)
        moved = [f"{old} becomes {new}" for old, new in numbers.items() if old != new]
        what = ", ".join(map(str, layers))
        total = len(numbers) + len(layers)
        after = f"; block {moved[0]}{' and so on' if len(moved) > 1 else ''}" if moved else ""
        yield f"{_OPTION}: {len(numbers)} of {total} blocks are left, without {what}{after}"


def _check(model: Model, layers: Sequence[int], numbers: Numbers) -> None:
    prefix = f"{model.arch}."
    values = {kv.key.removeprefix(prefix): kv for kv in model.kvs if kv.key.startswith(prefix)}
    count = values["block_count"].value if "block_count" in values else 0
    if any("blk." in output.name and block_of(output.name) is None for output in model.outputs):
        raise _refused("they are of several kinds, which would be numbered as one")
    if not numbers or layers[-1] >= count:
        raise UsageError(
            "bad-layers",
            f"the model's blocks are 0 to {count - 1}, and one must stay",
            where=f"{_OPTION} {','.join(map(str, layers))}",
            hint="name others",
        )
    for key, kv in values.items():
        if kv.type.startswith("ARRAY[") and len(kv.value) == count and key not in _OTHER_ARRAYS:
            raise _refused(f"{kv.key} has a value for each of {count}, and would keep them all")
    dense = values[_DENSE].value if _DENSE in values else 0
    given = {kv.key for kv in model.added}
    if layers[0] < dense and f"{model.arch}.{_DENSE}" not in given:
        raise UsageError(
            "unprunable",
            f"its first {dense} blocks are others than those behind them",
            where=_OPTION,
            reason=f"{_DENSE} would stay as it is, and llama.cpp would not load the file",
            hint=f"--override-kv {model.arch}.{_DENSE}=int:{sum(n < dense for n in numbers)}",
        )


def _refused(reason: str) -> UsageError:
    return UsageError(
        "unprunable",
        "blocks of this model cannot be left out",
        where=_OPTION,
        reason=reason,
        hint=f"leave out {_OPTION}",
    )
