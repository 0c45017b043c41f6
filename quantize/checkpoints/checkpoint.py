"""A Hugging Face checkpoint, seen through its headers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import (
    Weight,
    read_stored,
)
from quantize.checkpoints.encodings import encoding_of, understanding
from quantize.errors import CheckpointError
from quantize.formats.json_file import parse_json
from quantize.formats.safetensors import Header, read_header
from quantize.formats.safetensors_index import check_files, join_shards, read_index
from quantize.storage.source import ByteSource
from quantize.tensors import (
    StoredTensor,
)

INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
# In the order of preference. A name like model.fp16.safetensors is the same weights once more.
_UNLISTED = (re.compile(r"model-\d+-of-\d+\.safetensors"), re.compile(r"model[^/]*\.safetensors"))
_HEADERS_AT_ONCE = 8
_SMALL_FILE = 200_000_000  # the largest real tokenizer.json is under 40 MB


class Checkpoint:
    """Weights of a folder's safetensors files, and its JSON files.

    Opening reads config.json, the index, and the header of each shard; never weights. `name` is
    the model's own name.
    """

    def __init__(self, files: ByteSource, name: str) -> None:
        self.files = files
        self.name = name
        self.config: Mapping[str, Any] = self._config()
        self.stored = self._stored_tensors()
        with understanding():
            self.encoding = encoding_of(self.config, self.read_json)
            self.weights: Mapping[str, Weight] = self.encoding.resolve(self.stored, self._read)

    def read(self, name: str) -> bytes | None:
        """A small file, whole; None if there is no such file."""
        return self.files.read_all(name, _SMALL_FILE) if name in self.files.files() else None

    def names(self) -> list[str]:
        """The relative names of all files."""
        return list(self.files.files())

    def read_json(self, name: str) -> Any:
        data = self.read(name)
        if data is None:
            return None
        return parse_json(data, name)

    def decode_rows(self, name: str, lo: int, hi: int) -> F32Array:
        return self.weights[name].decode_rows(lo, hi, self._read)

    def repack_rows(self, name: str, lo: int, hi: int) -> U8Array:
        """Rows of a weight that has a `exact_type`, as blocks of that ggml type."""
        return self.weights[name].repack_rows(lo, hi, self._read)

    def _read(self, tensor: StoredTensor, offset: int, nbytes: int) -> memoryview:
        return read_stored(self.files, tensor, offset, nbytes)

    def _config(self) -> Mapping[str, Any]:
        config = self.read_json("config.json")
        if not isinstance(config, dict):
            problem = "there is no config.json" if config is None else "not a JSON object"
            raise CheckpointError(
                "no-config",
                problem,
                where="config.json",
                reason="a Hugging Face checkpoint describes its architecture there",
                hint="give the folder that holds config.json and the .safetensors files",
            )
        return config

    def _stored_tensors(self) -> dict[str, StoredTensor]:
        listed = self.files.files()
        index = self.read(INDEX)
        weight_map = read_index(index, INDEX) if index is not None else {}
        check_files(weight_map, listed, INDEX)
        shards = sorted(set(weight_map.values()) or _without_index(listed))
        if not shards:
            raise _no_weights(listed)
        # From the Hub, each header is a request that takes its time.
        with ThreadPoolExecutor(_HEADERS_AT_ONCE) as pool:
            found = pool.map(lambda shard: self._header(shard, listed[shard]), shards)
            headers = dict(zip(shards, found, strict=True))
        if weight_map:
            return join_shards(weight_map, headers, INDEX)
        stored: dict[str, StoredTensor] = {}
        for shard, header in headers.items():
            for name, tensor in header.tensors.items():
                if name in stored:
                    raise CheckpointError(
                        "tensor-in-two-files",
                        f"the tensor is in {stored[name].file} too",
                        where=f"{shard}:{name}",
                        hint="remove the file that does not belong to the checkpoint",
                    )
                stored[name] = tensor
        return stored

    def _header(self, shard: str, size: int) -> Header:
        return read_header(lambda offset, n: self.files.read(shard, offset, n), size, shard)


def _without_index(listed: Collection[str]) -> list[str]:
    """The files of weights where no index names them."""
    if _SINGLE in listed:
        return [_SINGLE]
    for pattern in _UNLISTED:
        found = [name for name in listed if pattern.fullmatch(name)]
        if found:
            return found
    return []


def _no_weights(listed: Mapping[str, int]) -> CheckpointError:
    pickled = sorted(n for n in listed if n.endswith((".bin", ".pth", ".pt", ".ckpt")))
    if pickled:
        return CheckpointError(
            "pickled-weights",
            "only pickled weights",
            where=pickled[0],
            reason="a pickle can run any program, so it is never opened",
            hint="use a revision of the model that has .safetensors files",
        )
    return CheckpointError(
        "no-weights",
        "no .safetensors file",
        reason="neither model*.safetensors nor an index is there",
        hint="give the folder that holds the weights",
    )
