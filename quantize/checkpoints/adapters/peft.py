"""A PEFT adapter seen through its header: which tensors it has for which module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantize.checkpoints.adapters.layouts import AdapterFiles
from quantize.checkpoints.adapters.settings import FILE, AdapterSettings, read_settings
from quantize.errors import CheckpointError
from quantize.formats.json_file import parse_json
from quantize.formats.safetensors import read_header
from quantize.storage.source import ByteSource
from quantize.tensors import StoredTensor

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_SMALL_FILE = 100_000_000

# What the end of a name says. Older versions of peft write the adapter's own name, "default",
# before the end. Copies of the base's tensors are left where they are.
_ENDS = (
    (re.compile(r"\.lora_A(\.default)?\.weight$"), "a"),
    (re.compile(r"\.lora_B(\.default)?\.weight$"), "b"),
    (re.compile(r"\.lora_embedding_A(\.default)?$"), "embedding_a"),
    (re.compile(r"\.lora_embedding_B(\.default)?$"), "embedding_b"),
    (re.compile(r"\.lora_magnitude_vector(\.default)?(\.weight)?$"), "magnitude"),
    (re.compile(r"\.token_adapter\.trainable_tokens_delta(\.default)?$"), "tokens"),
    (re.compile(r"\.(base_layer|original_module|token_adapter\.base_layer)\.(weight|bias)$"), ""),
    (re.compile(r"\.modules_to_save(\.default)?(?=\.(weight|bias)$)"), "saved"),
)


@dataclass(slots=True)
class Adapter:
    """An adapter: its settings, and by module the tensors "a", "b", "magnitude" and so on.

    `saved` are whole tensors by the name of the weight that each replaces; `factor` is what a
    person multiplies the adapter with.
    """

    name: str
    files: AdapterFiles
    settings: AdapterSettings
    modules: dict[str, dict[str, StoredTensor]] = field(default_factory=dict)
    saved: dict[str, StoredTensor] = field(default_factory=dict)
    factor: float = 1.0

    def read_file(self, name: str) -> bytes | None:
        """A small file of the adapter's folder; None if it is not there."""
        if name not in self.files.source.files():
            return None
        return self.files.source.read_all(name, _SMALL_FILE)

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        parts = (tensor for found in self.modules.values() for tensor in found.values())
        return (*parts, *self.saved.values())

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def weight_files(self) -> set[str]:
        return {tensor.file for tensor in self.tensors}


def is_adapter(files: ByteSource) -> bool:
    return FILE in files.files()


def read_adapter(files: ByteSource, name: str, factor: float = 1.0) -> Adapter:
    """Read adapter_config.json and the header of the weights. Raises CheckpointError."""
    listed = files.files()
    config = files.read_all(FILE, _SMALL_FILE) if FILE in listed else None
    adapter = Adapter(name, AdapterFiles(files), read_settings(_json(config, name), name))
    adapter.factor = factor
    if WEIGHTS not in listed:
        pickled = "adapter_model.bin" in listed
        raise CheckpointError(
            "pickled-weights" if pickled else "no-weights",
            "only pickled weights" if pickled else f"no {WEIGHTS}",
            where=name,
            reason="a pickle can run any program, so it is never opened" if pickled else None,
            hint="save the adapter again with a current version of peft",
        )
    header = read_header(lambda at, n: files.read(WEIGHTS, at, n), listed[WEIGHTS], WEIGHTS)
    for full, tensor in header.tensors.items():
        _file(adapter, full.removeprefix(_PREFIX), tensor)
    for module, found in adapter.modules.items():
        _check(adapter, module, found)
    return adapter


def _file(adapter: Adapter, name: str, tensor: StoredTensor) -> None:
    for end, part in _ENDS:
        match = end.search(name)
        if match is None:
            continue
        module = name[: match.start()]
        if part == "saved":
            adapter.saved[module + name[match.end() :]] = tensor
        elif part:
            adapter.modules.setdefault(module, {})[part] = tensor
        return
    adapter.saved[name] = tensor


def _check(adapter: Adapter, module: str, found: Mapping[str, StoredTensor]) -> None:
    """Both factors, of the rank that adapter_config.json says."""
    for kind in ("", "embedding_"):
        a, b = found.get(f"{kind}a"), found.get(f"{kind}b")
        if a is None and b is None:
            continue
        rank = adapter.settings.rank_of(module)
        if a is None or b is None or a.shape[0] != rank or b.shape[-1] != rank:
            shapes = [list(tensor.shape) for tensor in (a, b) if tensor is not None]
            raise CheckpointError(
                "bad-adapter",
                f"factors {shapes} where two of rank {rank} belong",
                where=f"{adapter.name}: {module}",
                reason=f"{FILE} and {WEIGHTS} contradict each other",
                hint="download the adapter again",
            )


def _json(data: bytes | None, where: str) -> Any:
    return None if data is None else parse_json(data, f"{where}: {FILE}")
