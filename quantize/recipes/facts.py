"""What the mixes want to know about a model besides its tensors."""

from __future__ import annotations

from dataclasses import dataclass

PerLayer = int | tuple[int, ...]

# Layers of the models that llama.cpp calls 70B (src/models/*.cpp, load_arch_hparams).
_LAYERS_OF_70B = {
    "llama": 80, "llama-embed": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Values of the GGUF key-values of the same names; head counts may differ by layer.

    `head_count_kv` is None where every head has its own keys and values.
    """

    arch: str
    block_count: int
    head_count: PerLayer = 0
    head_count_kv: PerLayer | None = None
    expert_count: int = 0
    has_imatrix: bool = False

    @property
    def heads_per_kv(self) -> int:
        """Query heads that share a key and value head; llama.cpp asks the first layer only."""
        heads, heads_kv = self._first_layer()
        return heads // heads_kv if heads_kv else 0

    @property
    def is_70b(self) -> bool:
        heads, heads_kv = self._first_layer()
        # Llama 1 65B has as many layers, but no shared heads.
        shared = heads != heads_kv or not self.arch.startswith("llama")
        return shared and _LAYERS_OF_70B.get(self.arch) == self.block_count

    def _first_layer(self) -> tuple[int, int]:
        heads = _first(self.head_count)
        return heads, heads if self.head_count_kv is None else _first(self.head_count_kv)


def _first(value: PerLayer) -> int:
    return value if isinstance(value, int) else next(iter(value), 0)
