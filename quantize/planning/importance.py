"""An importance matrix for a model: which entry belongs to which tensor, and the notes about it.

Source: tools/quantize/quantize.cpp and src/llama-quant.cpp of llama.cpp, where tensors are found by
their names and a matrix of another size ends the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PureWindowsPath

from quantize.errors import UsageError
from quantize.formats.imatrix import LARGEST, Imatrix, ImatrixEntry
from quantize.formats.kv import KV, KeyValues, string, u32
from quantize.planning.edits import Edits
from quantize.planning.layout import written_shape
from quantize.planning.model import Model, OutputTensor
from quantize.planning.plan import Plan, PlannedTensor
from quantize.recipes.categories import OUTPUT, TOKEN_EMBD, category
from quantize.tensors import GGML_TYPES
from quantize.units import listed

_PREFIX = "quantize.imatrix."
IMATRIX_FILE = f"{_PREFIX}file"
_DATASET = f"{_PREFIX}dataset"
_CHUNKS = f"{_PREFIX}chunks_count"
_LONGEST_VALUE = 127  # bytes of a text that llama-quantize takes
_LISTED = 3


def selected(imatrix: Imatrix, edits: Edits) -> Imatrix:
    """The matrix without the entries that a person leaves out.

    Raises UsageError for names that are found nowhere, and if nothing is left.
    """
    names = edits.excluded or edits.included
    if not names:
        return imatrix
    option = "--exclude-weights" if edits.excluded else "--include-weights"
    unknown = [name for name in names if not any(name in entry for entry in imatrix.entries)]
    wanted = bool(edits.included)
    entries = {
        name: entry
        for name, entry in imatrix.entries.items()
        if any(one in name for one in names) is wanted
    }
    if unknown or not entries:
        raise UsageError(
            "unmatched-weights",
            "found in no name of the matrix, or in all of them",
            where=f"{option} {' '.join(unknown or names)}",
            reason=f"the first of its names is {next(iter(imatrix.entries))}",
            hint=f"`quantize imatrix {imatrix.file}` lists some of them",
        )
    return replace(imatrix, entries=entries)


def notes_on_selection(imatrix: Imatrix, edits: Edits) -> Iterator[str]:
    """Which entries are used of `imatrix`, which has all of them."""
    for option, names in {
        "--exclude-weights": edits.excluded,
        "--include-weights": edits.included,
    }.items():
        if names:
            used = len(selected(imatrix, edits).entries)
            said = " ".join(f"{option} {name}" for name in names)
            yield f"imatrix: {used} of {len(imatrix.entries)} entries are used: {said}"


def weigh(model: Model, imatrix: Imatrix, called: str) -> Model:
    """The model with an entry of the matrix for each tensor that has one.

    `called` is the matrix' name in the key-values. Raises UsageError for a matrix of another model.
    """
    outputs = [replace(output, imatrix=_entry_of(output, imatrix)) for output in model.outputs]
    if all(output.imatrix is None for output in outputs):
        raise UsageError(
            "other-imatrix",
            "none of its entries is of a tensor of this model",
            where=str(imatrix.file),
            reason=f"the first one is of {next(iter(imatrix.entries))}",
            hint="give the matrix that was made of this model",
        )
    added = KeyValues(model.added).with_last(tuple(key_values(imatrix, called)))
    return replace(model, outputs=outputs, added=added, has_imatrix=True)


def key_values(imatrix: Imatrix, called: str) -> Iterator[KV]:
    """What llama-quantize writes of a matrix, in its order."""
    yield string(IMATRIX_FILE, _cut(called))
    if imatrix.datasets:
        yield string(_DATASET, _cut(imatrix.datasets[0]))
    yield u32(f"{_PREFIX}entries_count", len(imatrix.entries))
    if imatrix.chunks:
        yield u32(_CHUNKS, imatrix.chunks)


def recorded_imatrix(kvs: KeyValues) -> str | None:
    """What these key-values say of a matrix, in words; without the folders of whoever made it."""
    if kvs.find(IMATRIX_FILE) is None:
        return None
    text = f"`{_base_name(kvs.value(IMATRIX_FILE))}`"
    if chunks := kvs.value(_CHUNKS):
        text += f", {chunks} chunks"
    if dataset := kvs.value(_DATASET):
        text += f" of `{_base_name(dataset)}`"
    return text


def _base_name(path: object) -> str:
    return PureWindowsPath(str(path)).name  # which knows both kinds of slashes


def _cut(text: str) -> str | bytes:
    raw = text.encode("utf-8", "surrogateescape").partition(b"\0")[0][:_LONGEST_VALUE]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _entry_of(output: OutputTensor, imatrix: Imatrix) -> ImatrixEntry | None:
    entry = imatrix.entries.get(output.name)
    if entry is None or entry.size == _size(output):
        return entry
    if category(output.name) == TOKEN_EMBD:
        # Rows are looked up in it, which says nothing of its columns.
        return None
    raise UsageError(
        "other-imatrix",
        f"{entry.size} values, where the tensor needs {_size(output)}",
        where=f"{imatrix.file}: {output.name}",
        reason="the matrix was made of another model, or of its experts one by one",
        hint="give the matrix that was made of this model",
    )


def _size(output: OutputTensor) -> int:
    """One value for each column, and for each expert."""
    shape = written_shape(output.shape)
    return shape[-1] * (shape[-3] if len(shape) > 2 else 1)


def notes_on_imatrix(imatrix: Imatrix, plans: Sequence[Plan]) -> Iterator[str]:
    """What a person should know of the matrix and the tensors of `plans`, a line each."""
    tensors = {tensor.name: tensor for plan in plans for tensor in plan.tensors if _lossy(tensor)}
    names = {tensor.name for tensor in plans[0].tensors}
    for what, found in {
        "the model lacks": [name for name in imatrix.entries if name not in names],
        "no entry, quantized as without a matrix:": [
            name for name, tensor in tensors.items() if tensor.imatrix is None
        ],
    }.items():
        if found:
            yield f"imatrix: {what} {listed(found, _LISTED)}"
    yield from _on_values(
        {name: tensor.imatrix for name, tensor in tensors.items() if tensor.imatrix is not None}
    )


def _lossy(tensor: PlannedTensor) -> bool:
    """Whether a matrix matters to it; llama-imatrix leaves out what comes before the blocks."""
    is_quantized = GGML_TYPES[tensor.type].block_size > 1 and not tensor.repacked
    return is_quantized and category(tensor.name) not in (TOKEN_EMBD, OUTPUT)


def _on_values(used: Mapping[str, ImatrixEntry]) -> Iterator[str]:
    unseen = {name: entry for name, entry in used.items() if entry.unseen}
    if unseen:
        count = sum(entry.unseen for entry in unseen.values())
        total = sum(len(entry.counts) for entry in used.values() if len(entry.counts) > 1)
        yield (
            f"imatrix: {count} of {total} expert matrices were never seen, "
            f"in {listed(unseen, _LISTED)}: all of their columns count alike"
        )
    zeros = {name: entry for name, entry in used.items() if entry.zeros}
    if zeros:
        count = sum(entry.zeros for entry in zeros.values())
        yield (
            f"imatrix: {count} columns have the importance 0, in {listed(zeros, _LISTED)}: "
            "a block of such columns loses its weights, as with llama-quantize"
        )
    extreme = [name for name, entry in used.items() if entry.largest > LARGEST]
    if extreme:
        largest = max(used[name].largest for name in extreme)
        yield (
            f"imatrix: importances up to {largest:.1e}, in {listed(extreme, _LISTED)}: "
            "too large to compute with, so that all columns of such a matrix count alike"
        )
