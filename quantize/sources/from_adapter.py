"""An adapter as a model to write: a GGUF adapter, as llama.cpp's convert_lora_to_gguf writes it.

Its factors get the name of the tensor that they change, and the rows of `lora_b` move as that
tensor's rows do. The layout of a weight that a family transposes is the one that GGUF has anyway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantize.architectures.hparams import Hparams, lift_text_part
from quantize.architectures.mapping import Mapped, map_tensors
from quantize.checkpoints.adapters.alone import FACTORS, LoneAdapter
from quantize.errors import UnsupportedError, UsageError
from quantize.formats.json_file import parse_json
from quantize.formats.kv import KeyValues, array, f32, string
from quantize.formats.model_card import ParameterCounts, general_kvs
from quantize.planning.from_checkpoint import family_of
from quantize.planning.layout import VERSION, file_order, place
from quantize.planning.model import Model, OutputTensor
from quantize.planning.plan import Plan
from quantize.recipes import UNSTEERED, Choice, Recipe
from quantize.sources.adapters import OpenedAdapter
from quantize.sources.opening import OpenedAs, folder_name
from quantize.storage.hub.files import HubFiles
from quantize.storage.hub.repository import Snapshot, parse_hub_id, pin_or_cached
from quantize.storage.local import LocalFolder
from quantize.tensors import Shape
from quantize.transforms import IDENTITY, Stack, Transform, Transpose

TYPES = ("F32", "F16", "BF16")
_LARGEST_CONFIG = 10_000_000


def open_alone(opened: OpenedAdapter, base: str | None, token: str | None = None) -> LoneAdapter:
    """An opened adapter as a source, with config.json of its base.

    `base` is what a person says; without, the adapter's own word counts. Raises UsageError where
    that leads nowhere.
    """
    config = _config(base or opened.adapter.settings.base, opened, token)
    return LoneAdapter(opened.adapter, config)


def opened_alone(opened: OpenedAdapter, source: LoneAdapter) -> OpenedAs[LoneAdapter]:
    """The same with where it came from."""
    return OpenedAs(
        source,
        opened.location,
        opened.identity,
        opened.repo,
        opened.commit,
        stamps=opened.stamps,
    )


def model_of_adapter(
    source: LoneAdapter, *, model_class: str | None = None, name: str | None = None
) -> Model:
    """Everything about the GGUF adapter but the types of its tensors."""
    family = family_of(source, model_class)
    config = family.filled(lift_text_part(source.config))
    hp = Hparams(config, source.shapes, source.read_json)
    mapped = map_tensors(family, hp, partial=True)
    outputs = [output for tensor in mapped for output in _outputs(tensor, source)]
    outputs.sort(key=lambda output: file_order(output.name))
    # Negative, as llama.cpp's writer counts an adapter's: names are then understood otherwise.
    total = -sum(math.prod(tensor.shape) for tensor in mapped)
    counts = ParameterCounts(total, total, 0, 0)
    card = source.read("README.md")
    general = general_kvs(card, {}, None, family.arch, source.name, counts, name)
    tokens = source.adapter.settings.invocation_tokens
    kvs = (
        general[0],
        string("general.type", "adapter"),
        string("adapter.type", "lora"),
        *general[2:],
        f32("adapter.lora.alpha", source.alpha),
        *([array("adapter.alora.invocation_tokens", "UINT32", tokens)] if tokens else []),
    )
    return Model(name or source.name, family.arch, KeyValues(kvs), outputs)


def plan_adapter(model: Model, recipes: Sequence[Recipe]) -> tuple[Plan, ...]:
    """One plan for each recipe. Raises UnsupportedError for what is not one of TYPES alone."""
    for recipe in recipes:
        if recipe.mix.name not in TYPES or recipe.steering != UNSTEERED:
            raise UnsupportedError(
                "adapter-type",
                f"a GGUF adapter is not written as {recipe.name}",
                reason="the rows of its factors are as short as their rank",
                hint=f"--type {' or '.join(TYPES)}, without options for tensors",
            )
    kvs = KeyValues((*model.kvs, VERSION))
    return tuple(
        place(
            model.name,
            model.arch,
            recipe.name,
            kvs,
            model.outputs,
            [Choice(recipe.mix.default, "a factor")] * len(model.outputs),
        )
        for recipe in recipes
    )


def _outputs(tensor: Mapped, source: LoneAdapter) -> list[OutputTensor]:
    a, b = _transforms(tensor)
    made = []
    for factor, transform in zip(FACTORS, (a, b), strict=True):
        names = tuple(name + factor for name in tensor.sources)
        shape: Shape = transform.shape([source.weights[name].shape for name in names])
        made.append(OutputTensor(tensor.name + factor, shape, names, transform))
    return made


def _transforms(tensor: Mapped) -> tuple[Transform, Transform]:
    """What becomes of both factors where the product is to become `tensor`."""
    transform = tensor.transform
    if isinstance(transform, Stack):
        return transform, transform
    if isinstance(transform, Transpose):
        return IDENTITY, IDENTITY
    if len(tensor.sources) == 1 and transform.moves_rows_only:
        return IDENTITY, transform
    raise UnsupportedError(
        "adapter-needs-merge",
        f"factors cannot become those of {tensor.name}",
        where=", ".join(tensor.sources),
        reason=f"{type(transform).__name__} does more than to move the rows of one weight",
        hint="merge the adapter: quantize convert BASE --lora ADAPTER",
    )


def base_name(base: str, location: str) -> str:
    """What `quantize convert BASE` names its file after.

    `base` is what a person or the adapter says, `location` where the adapter is.
    """
    folder = _folder_of(base, location)
    repository = None if folder else parse_hub_id(base)
    return repository[0].rpartition("/")[2] if repository else folder_name(folder or Path(base))


def _folder_of(base: str, location: str) -> Path | None:
    folders = (Path(base).expanduser(), Path(location).expanduser() / base)
    return next((one for one in folders if base and (one / "config.json").is_file()), None)


def _config(base: str, opened: OpenedAdapter, token: str | None) -> Any:
    """config.json of the base: in a folder, next to the adapter, or on the Hub."""
    folder = _folder_of(base, opened.location)
    if folder is not None:
        return parse_json((folder / "config.json").read_bytes(), str(folder / "config.json"))
    repository = parse_hub_id(base)
    if repository is None:
        raise UsageError(
            "no-base",
            f"the base {base!r} is neither a folder nor a repository of the Hub",
            where=opened.location,
            reason="its config.json says which tensors the adapter changes",
            hint="--base BASE, a folder with config.json or org/name",
        )
    found = pin_or_cached(*repository, token)
    files = LocalFolder(found.path) if isinstance(found, Snapshot) else HubFiles(found)
    return parse_json(files.read_all("config.json", _LARGEST_CONFIG), f"{base}: config.json")
