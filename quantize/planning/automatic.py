"""Which file type to write when nobody says: the nearest that loses nothing measurable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quantize.checkpoints.kinds import AnySource
from quantize.checkpoints.source import Source
from quantize.errors import UsageError
from quantize.planning.model import Model
from quantize.recipes import FTYPES, Recipe, plain
from quantize.tensors import count

AUTOMATIC = "auto"
_USUAL = "Q4_K_M"  # of weights that were never quantized, whatever is written loses something


@dataclass(frozen=True, slots=True)
class Automatic:
    """`recipe.mix` picks the types of tensors without an exact type.

    The file is named after the most common type. `why` is None for the usual type, which needs no
    note.
    """

    recipe: Recipe
    why: str | None


def choose_automatically(source: Source, model: Model) -> Automatic:
    """The file type for a source whose grids are kept in `model`."""
    nearest = source.nearest
    if nearest is None:
        return Automatic(plain(_USUAL), None)
    mix = FTYPES[nearest]
    kept = Counter[str]()
    for output in model.outputs:
        kept[output.exact_type or ""] += count(output.shape)
    most = kept.most_common(1)[0][0]
    labels = [one for one in FTYPES.values() if one.default == most]
    why = f"{nearest}, which loses nothing measurable of the stored weights"
    if set(kept) - {""}:
        names = " and ".join(sorted(set(kept) - {""}))
        why = f"{names} as stored, {nearest} for the rest: nothing measurable is lost"
    label = labels[0] if labels else mix
    return Automatic(Recipe(label.name, label.id, mix), why)


def is_automatic(types: Sequence[str | Recipe]) -> bool:
    """Whether the source shall choose. Raises UsageError where it shall and something else too."""
    automatic = [one for one in types if isinstance(one, str) and _is_auto(one)]
    if automatic and len(types) > 1:
        raise UsageError(
            "auto-with-others",
            "--type auto goes alone",
            reason="it chooses the one type that fits the source best",
            hint="name the types, or leave out --type",
        )
    return bool(automatic)


def _is_auto(name: str) -> bool:
    return name.strip().lower() == AUTOMATIC


def notes_on_encodings(source: AnySource, model: Model) -> tuple[str, ...]:
    """A line that says so where weights are decoded and quantized again."""
    if source.kind != "checkpoint" or source.nearest is None:
        return ()
    method = source.encoding.name
    names = {name for output in model.outputs if not output.exact_type for name in output.sources}
    if not any(source.weights[name].encoding.startswith(method) for name in names):
        return ()
    return (f"{method}: the weights are quantized already, and what is written cannot be better",)
