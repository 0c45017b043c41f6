"""Applying a family's rules to the tensors of a checkpoint, refusing whatever does not fit."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from quantize.architectures.family import (
    OTHER_MODALITIES,
    TOOL_PREFIXES,
    TOOL_WRAPPERS,
    UNUSED,
    Family,
    TensorRule,
)
from quantize.architectures.hparams import Hparams
from quantize.errors import CheckpointError
from quantize.tensors import Shape, block_of
from quantize.transforms import Transform
from quantize.units import listed


@dataclass(frozen=True, slots=True)
class Mapped:
    """A GGUF tensor: its name and shape, and the source tensors and transform that make it."""

    name: str
    shape: Shape
    sources: tuple[str, ...]
    transform: Transform


def map_tensors(family: Family, hp: Hparams, *, partial: bool = False) -> list[Mapped]:
    """Every GGUF tensor that the checkpoint gives, in the order of the rules.

    `partial`: what is missing is left out, as for an adapter, which changes some tensors. Raises
    CheckpointError when sources are unmapped, mapped to one name twice, missing, or of shapes that
    a transform cannot take; each error lists the tensors.
    """
    by_name = _canonical(family, hp.shapes)
    mapped: dict[str, Mapped] = {}
    used: set[str] = set()
    missing: list[tuple[int | None, list[str]]] = []
    begun: set[int | None] = set()
    for target, sources, rule in _expand(family.rules(hp), hp):
        block = block_of(target)
        absent = [name for name in sources if name not in by_name]
        if len(absent) < len(sources):
            begun.add(block)
        if absent:
            if not partial and (not rule.optional or len(absent) < len(sources)):
                missing.append((block, absent))
            continue
        if target in mapped:
            raise _listed(
                "doubly-mapped-tensors",
                f"two sources would both become {target}",
                [*mapped[target].sources, *sources],
            )
        originals = tuple(by_name[name] for name in sources)
        used.update(originals)
        mapped[target] = Mapped(
            target, _shape(rule, target, originals, hp), originals, rule.transform
        )
    # A block of which only a part is missing is not left out, it is damaged.
    left_out = announced_predictors(family, hp) - begun if missing else ()
    needed = [names for block, names in missing if block not in left_out]
    if needed:
        names = list(dict.fromkeys(itertools.chain.from_iterable(needed)))
        raise _missing(family, names, [one for one in by_name.values() if one not in used])
    left = [original for name, original in by_name.items() if original not in used]
    unmapped = [name for name in left if not _is_unused(family, hp, name)]
    if unmapped:
        raise _listed(
            "unmapped-tensors",
            f"{len(unmapped)} tensors have no place in {family.arch}",
            unmapped,
            hint="--arch NAME if the checkpoint is of another architecture",
        )
    return list(mapped.values())


def _missing(family: Family, missing: list[str], unused: list[str]) -> CheckpointError:
    """The error for missing tensors, with what the folder has in their place."""
    count = f"{len(missing)} tensors that {family.arch} needs are missing"
    if not unused:
        hint = "a weight file is missing or cut short: download the checkpoint again"
        return _listed("missing-tensors", count, missing, hint=hint)
    return CheckpointError(
        "missing-tensors",
        count,
        where=missing[0],
        reason=f"missing: {listed(missing)}\nin the folder, and not used: {listed(unused)}",
        hint="if the names differ by what is in front of them only, rename the tensors; "
        "--arch NAME if the checkpoint is of another architecture",
    )


def announced_predictors(family: Family, hp: Hparams) -> frozenset[int]:
    """The blocks after the last that config.json announces.

    They predict further tokens (MTP). transformers drops their weights when it loads a model, and
    keeps their number in the config.json that it saves.
    """
    named: set[int] = set()
    for rule in family.rules(hp):
        number = block_of(rule.target)
        named.update(rule.blocks or () if number is None else (number,))
    return frozenset(block for block in named if block >= hp.block_count)


def other_modalities(family: Family, hp: Hparams, mapped: Sequence[Mapped]) -> list[str]:
    """The source tensors that see, hear or speak, where `mapped` takes the text part alone."""
    used = {name for tensor in mapped for name in tensor.sources}
    return [
        name
        for name in hp.shapes
        if name not in used
        and any(
            fnmatch.fnmatchcase(candidate, pattern)
            for pattern in OTHER_MODALITIES
            for candidate in (strip_wrapper(family, name), name)
        )
    ]


def strip_wrapper(family: Family, name: str) -> str:
    """A source name without what tools put in front, and without the model class's wrapper."""
    name = name.removeprefix(tool_prefix(name))
    for wrapper in TOOL_WRAPPERS:
        name = name.replace(wrapper, "")
    for prefix in family.prefixes:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def tool_marks(name: str) -> set[str]:
    """All that tools put into a name, in front or in the middle."""
    prefix = tool_prefix(name)
    inside = {wrapper for wrapper in TOOL_WRAPPERS if wrapper in name.removeprefix(prefix)}
    return {prefix, *inside} - {""}


def tool_prefix(name: str) -> str:
    """What torch.compile, a trainer or PEFT put in front of a name; empty if nothing."""
    rest = name
    while found := next((one for one in TOOL_PREFIXES if rest.startswith(one)), ""):
        rest = rest.removeprefix(found)
    return name.removesuffix(rest)


def _canonical(family: Family, shapes: Iterable[str]) -> dict[str, str]:
    by_name: dict[str, str] = {}
    for original in shapes:
        name = strip_wrapper(family, original)
        if name in by_name:
            raise _listed(
                "doubly-mapped-tensors",
                f"two source tensors are both {name} of {family.arch}",
                [by_name[name], original],
            )
        by_name[name] = original
    return by_name


def _is_unused(family: Family, hp: Hparams, original: str) -> bool:
    name = strip_wrapper(family, original)
    unused = family.unused(hp) if callable(family.unused) else family.unused
    return any(
        fnmatch.fnmatchcase(candidate, pattern)
        for pattern in (*UNUSED, *unused)
        for candidate in (name, original)
    )


def _expand(
    rules: Iterable[TensorRule], hp: Hparams
) -> Iterable[tuple[str, tuple[str, ...], TensorRule]]:
    """Rules with their block and expert numbers filled in: (target, sources, rule)."""
    for rule in rules:
        per_block = "{bid}" in rule.target
        blocks = rule.blocks if rule.blocks is not None else range(hp.block_count)
        for bid in blocks if per_block else (0,):
            sources = itertools.chain.from_iterable(
                [
                    template.replace("{bid}", str(bid)).replace("{eid}", str(eid))
                    for eid in (range(hp.n_expert) if "{eid}" in template else (0,))
                ]
                for template in rule.sources
            )
            yield rule.target.replace("{bid}", str(bid)), tuple(sources), rule


def _shape(rule: TensorRule, target: str, originals: tuple[str, ...], hp: Hparams) -> Shape:
    shapes: Mapping[str, Shape] = hp.shapes
    try:
        return rule.transform.shape([shapes[name] for name in originals])
    except (ValueError, IndexError) as error:
        raise _listed(
            "shape-mismatch",
            f"{target} cannot be made: {error}",
            [f"{name} {list(shapes[name])}" for name in originals],
            hint="config.json and the weights do not belong together; download both again",
        ) from error


def _listed(code: str, message: str, names: list[str], hint: str | None = None) -> CheckpointError:
    return CheckpointError(code, message, where=names[0], reason=listed(names), hint=hint)
