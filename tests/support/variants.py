"""Variants of the kit's models: other configs and tensor names, without data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quantize.architectures import ARCHITECTURES
from quantize.architectures.family import Family
from quantize.architectures.hparams import Hparams, lift_text_part
from quantize.architectures.keys import key_values
from quantize.architectures.mapping import Mapped, map_tensors
from quantize.tensors import Shape

Shapes = dict[str, Shape]


class Variant:
    """A kit model's config and tensor shapes, to be changed."""

    def __init__(self, kit: Path, name: str) -> None:
        folder = kit / "models" / name
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        skeleton = json.loads((folder / "skeleton.json").read_text("utf-8"))
        self.shapes: Shapes = {t["name"]: tuple(t["shape"]) for t in skeleton["tensors"]}

    @property
    def family(self) -> Family:
        return ARCHITECTURES[self.config["architectures"][0]]

    @property
    def layers(self) -> range:
        return range(self.config["num_hidden_layers"])

    def hparams(self) -> Hparams:
        config = lift_text_part(self.config)
        return Hparams(self.family.filled(config), self.shapes)

    def tensors(self) -> dict[str, Mapped]:
        return {tensor.name: tensor for tensor in map_tensors(self.family, self.hparams())}

    def facts(self) -> dict[str, Any]:
        """Key-values by their names without the architecture."""
        arch, keys = self.family.arch, (*self.family.early, *self.family.keys)
        kvs = key_values(keys, arch, self.hparams())
        return {kv.key.removeprefix(f"{arch}."): kv.value for kv in kvs}

    def rename(self, old: str, new: str) -> None:
        self.shapes = {name.replace(old, new): shape for name, shape in self.shapes.items()}
