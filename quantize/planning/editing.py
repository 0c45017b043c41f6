"""A model with a person's edits and its importance matrix, in the order of llama-quantize."""

from __future__ import annotations

from quantize.errors import UsageError
from quantize.formats.imatrix import Imatrix
from quantize.planning.edits import Edits
from quantize.planning.importance import notes_on_selection, selected, weigh
from quantize.planning.model import Model
from quantize.planning.overrides import notes_on_overrides, override
from quantize.planning.pruning import notes_on_pruning, numbers_without, prune, renumbered


def edited(
    model: Model, edits: Edits, imatrix: Imatrix | None, called: str
) -> tuple[Model, Imatrix | None, tuple[str, ...]]:
    """The model to write, the entries of the matrix that it uses under its names, and notes.

    `called` is the matrix' name in the key-values. Raises UsageError for edits that this model
    or matrix cannot have.
    """
    notes = [*notes_on_overrides(model, edits.overrides), *notes_on_pruning(model, edits.pruned)]
    model = override(model, edits.overrides)
    if imatrix is not None:
        notes += notes_on_selection(imatrix, edits)
        imatrix = selected(imatrix, edits)
        # A matrix has the names of the whole model.
        model = weigh(model, imatrix, called)
        if edits.pruned:
            imatrix = renumbered(imatrix, numbers_without(model, edits.pruned))
    elif edits.excluded or edits.included:
        raise UsageError(
            "no-imatrix",
            "--exclude-weights and --include-weights are about an importance matrix",
            hint="--imatrix FILE",
        )
    return prune(model, edits.pruned), imatrix, tuple(notes)
