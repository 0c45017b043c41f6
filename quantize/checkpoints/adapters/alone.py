"""An adapter as a source by itself: the factors of each module, for a GGUF adapter.

llama.cpp multiplies `lora_b @ lora_a` with adapter.lora.alpha / rank. Where peft's scale of a
module is another one (RSLoRA, alpha_pattern), its `lora_b` is multiplied with the ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from quantize.arrays import F32Array
from quantize.checkpoints.adapters.peft import Adapter
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.described import DescribedWeights
from quantize.checkpoints.layouts.matrices import Matrix, Numbers, Transposed
from quantize.errors import UnsupportedError
from quantize.tensors import (
    Shape,
    StoredTensor,
)

FACTORS = (".lora_a", ".lora_b")


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor times a number."""

    rows: Matrix
    ratio: float
    name: str = "factor"

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        values: F32Array = np.array(self.rows.rows(lo, hi, read), np.float32, order="C")
        if self.ratio != 1:
            values *= np.float32(self.ratio)
        return values


class LoneAdapter(DescribedWeights):
    """`weights` are the factors, by the name of the weight that they change and FACTORS.

    `config` is the base's config.json, `shapes` those of the changed weights in the base. Raises
    UnsupportedError for an adapter with anything but factors.
    """

    kind: Literal["adapter"] = "adapter"
    nearest = None

    def __init__(self, adapter: Adapter, config: Mapping[str, Any]) -> None:
        self._factors: dict[str, Weight] = {}
        super().__init__(adapter.files.source, adapter.name, config, self._factors)
        self.adapter = adapter
        self.shapes: dict[str, Shape] = {}
        for name in adapter.saved:
            raise _refused(adapter, name, "it replaces a tensor as a whole")
        for module, found in adapter.modules.items():
            self._add(module, found)

    @property
    def alpha(self) -> float:
        """What adapter.lora.alpha must be for modules without settings of their own."""
        settings = self.adapter.settings
        return settings.alpha * (settings.rank**0.5 if settings.rslora else 1)

    def _add(self, module: str, found: Mapping[str, StoredTensor]) -> None:
        for part in ("magnitude", "tokens"):
            if part in found:
                raise _refused(self.adapter, found[part].name, "only low-rank factors can be held")
        for kind in ("", "embedding_"):
            if f"{kind}a" not in found:
                continue
            a, b = found[f"{kind}a"], found[f"{kind}b"]
            rank, settings = a.shape[0], self.adapter.settings
            ratio = settings.scale_of(module, rank) * rank / self.alpha
            name = f"{module}.weight"
            if kind:
                # The rows of an embedding are looked up: lora_a has them as rows, too.
                self._factor(name + FACTORS[0], a.shape[::-1], Transposed(a), 1.0, a)
                self.shapes[name] = (a.shape[1], b.shape[0])
            else:
                self._factor(name + FACTORS[0], a.shape, Numbers(a), 1.0, a)
                shape = (b.shape[0], a.shape[1])
                self.shapes[name] = shape[::-1] if settings.fan_in_fan_out else shape
            self._factor(name + FACTORS[1], b.shape, Numbers(b), ratio, b)

    def _factor(
        self, name: str, shape: Shape, rows: Matrix, ratio: float, part: StoredTensor
    ) -> None:
        self._factors[name] = Weight(name, shape, part.dtype, Factor(rows, ratio), (part,))


def _refused(adapter: Adapter, name: str, reason: str) -> UnsupportedError:
    return UnsupportedError(
        "adapter-needs-merge",
        "a GGUF adapter cannot hold this part",
        where=f"{adapter.name}: {name}",
        reason=reason,
        hint=f"quantize convert {adapter.settings.base or 'BASE'} --lora {adapter.name}",
    )
