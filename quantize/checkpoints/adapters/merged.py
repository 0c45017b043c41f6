"""A checkpoint with adapters merged in: the same names, other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quantize.checkpoints.adapters.layouts import LowRank, Replaced, ReplacedRows, held_by
from quantize.checkpoints.adapters.peft import Adapter
from quantize.checkpoints.base import Weight
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.checkpoints.layouts.matrices import Matrix, Numbers, Transposed
from quantize.errors import CheckpointError, UsageError
from quantize.tensors import Shape, StoredTensor

_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja",
)  # fmt: skip
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")


class MergedCheckpoint(Checkpoint):
    """`base` with `adapters` merged one after the other.

    The tokenizer is the last adapter's that came with embeddings and has one. Raises
    CheckpointError where base and adapter do not belong together.
    """

    def __init__(self, base: Checkpoint, adapters: Sequence[Adapter]) -> None:
        self.adapters = tuple(adapters)
        self._tokenizer: Adapter | None = None
        config = dict(base.config)
        weights = dict(base.weights)
        for adapter in adapters:
            changed = _merge(adapter, weights)
            for name, weight in changed.items():
                if name.endswith(_EMBEDDINGS):
                    self._tokenizer = adapter if adapter.read_file(_TOKENIZER[0]) else None
                    config = _resized(config, weight.shape[0])
            weights |= changed
        super().__init__(base.files, base.name, config, base.encoding, weights)

    def read(self, name: str) -> bytes | None:
        if self._tokenizer is not None and name in _TOKENIZER:
            return self._tokenizer.read_file(name)
        return super().read(name)


def _resized(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """config.json with the number of rows that the embeddings have now."""
    for part in ("text_config", "llm_config"):
        if isinstance(config.get(part), Mapping):
            return {**config, part: {**config[part], "vocab_size": rows}}
    return {**config, "vocab_size": rows}


def _merge(adapter: Adapter, base: Mapping[str, Weight]) -> dict[str, Weight]:
    """The weights that an adapter changes, changed."""
    if adapter.saved and adapter.factor != 1:
        raise UsageError(
            "scaled-whole-tensors",
            f"it cannot be scaled by {adapter.factor:g}",
            where=adapter.name,
            reason=f"it replaces tensors as a whole: {', '.join(adapter.saved)}",
            hint="merge it without =SCALE",
        )
    changed = {}
    for name, tensor in adapter.saved.items():
        weight = _saved(adapter, name, tensor, base)
        changed[weight.name] = weight
    for module, found in adapter.modules.items():
        weight = _find(adapter, f"{module}.weight", base)
        weight = changed.get(weight.name, weight)
        if "a" in found:
            weight = _low_rank(adapter, module, weight, found)
        if "embedding_a" in found:
            weight = _embedding(adapter, module, weight, found)
        if "tokens" in found:
            weight = _tokens(adapter, module, weight, found["tokens"])
        changed[weight.name] = weight
    return changed


def _find(adapter: Adapter, name: str, base: Mapping[str, Weight]) -> Weight:
    """The base's weight of that name; model classes differ in what they wrap it with."""
    if name in base:
        return base[name]
    alike = [one for one in base if one.endswith(f".{name}") or name.endswith(f".{one}")]
    if len(alike) == 1:
        return base[alike[0]]
    if name.endswith("lm_head.weight"):
        reason = "the base uses its input embeddings there; changing one would change the other"
    else:
        reason = f"the adapter was made for {adapter.settings.base or 'another model'}"
    raise CheckpointError(
        "adapter-without-base",
        "the base has no such weight",
        where=f"{adapter.name}: {name}",
        reason=reason,
        hint="give the base that the adapter was trained on",
    )


def _saved(adapter: Adapter, name: str, tensor: StoredTensor, base: Mapping[str, Weight]) -> Weight:
    # An output of its own, where the base shares the input embeddings.
    head = name.endswith("lm_head.weight") and name not in base
    weight = None if head else _find(adapter, name, base)
    if weight is not None and weight.shape[1:] != tensor.shape[1:]:
        raise _mismatch(adapter, name, weight.shape, tensor.shape)
    target = name if weight is None else weight.name
    return Weight(target, tensor.shape, tensor.dtype, Replaced(adapter.files), (tensor,))


def _low_rank(
    adapter: Adapter, module: str, weight: Weight, found: Mapping[str, StoredTensor]
) -> Weight:
    a, b = found["a"], found["b"]
    rows, cols = b.shape[0], a.shape[1]
    swapped = adapter.settings.fan_in_fan_out
    if weight.shape != ((cols, rows) if swapped else (rows, cols)):
        raise _mismatch(adapter, module, weight.shape, (rows, cols))
    magnitude = found.get("magnitude")
    if magnitude is not None and (swapped or magnitude.shape not in {(rows,), (rows, 1)}):
        raise _mismatch(adapter, module, weight.shape, magnitude.shape)
    return _with(adapter, module, weight, found, a, b, swapped=swapped)


def _embedding(
    adapter: Adapter, module: str, weight: Weight, found: Mapping[str, StoredTensor]
) -> Weight:
    a, b = found["embedding_a"], found["embedding_b"]
    if weight.shape != (a.shape[1], b.shape[0]) or "magnitude" in found:
        raise _mismatch(adapter, module, weight.shape, (a.shape[1], b.shape[0]))
    return _with(adapter, module, weight, found, a, b, swapped=True)


def _with(
    adapter: Adapter,
    module: str,
    weight: Weight,
    found: Mapping[str, StoredTensor],
    a: StoredTensor,
    b: StoredTensor,
    *,
    swapped: bool,
) -> Weight:
    """Weight + scale * B @ A, or with its transpose where inputs and outputs are `swapped`."""
    rank = a.shape[0]
    left: Matrix = Transposed(a) if swapped else Numbers(b)
    right: Matrix = Transposed(b) if swapped else Numbers(a)
    layout = LowRank(
        weight,
        adapter.files,
        left,
        right,
        rank,
        adapter.settings.scale_of(module, rank) * adapter.factor,
        found.get("magnitude"),
    )
    parts = (*weight.parts, a, b)
    held = weight.fixed_nbytes + held_by(b if swapped else a, rank, weight.shape[-1])
    return replace(
        weight, layout=layout, parts=parts, exact_type=None, always_kept=False, fixed_nbytes=held
    )


def _tokens(adapter: Adapter, module: str, weight: Weight, tensor: StoredTensor) -> Weight:
    for name, indices in adapter.settings.trainable_tokens.items():
        fits = module == name or module.endswith(f".{name}")
        if fits and tensor.shape == (len(indices), weight.shape[-1]):
            if max(indices, default=0) >= weight.shape[0]:
                raise _mismatch(adapter, module, weight.shape, tensor.shape)
            layout = ReplacedRows(weight, adapter.files, tensor, indices)
            parts = (*weight.parts, tensor)
            return replace(weight, layout=layout, parts=parts, exact_type=None, always_kept=False)
    raise _mismatch(adapter, module, weight.shape, tensor.shape)


def _mismatch(adapter: Adapter, name: str, have: Shape, other: Shape) -> CheckpointError:
    return CheckpointError(
        "adapter-mismatch",
        f"the adapter's {list(other)} does not fit the base's {list(have)}",
        where=f"{adapter.name}: {name}",
        reason=f"it was made for {adapter.settings.base or 'another model'}",
        hint="give the base that the adapter was trained on",
    )
