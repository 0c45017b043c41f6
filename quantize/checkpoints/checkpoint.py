"""A Hugging Face checkpoint, seen through its headers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from quantize.checkpoints import mistral_format
from quantize.checkpoints.base import (
    Encoding,
    Weight,
    read_stored,
)
from quantize.checkpoints.described import SMALL_FILE, DescribedWeights
from quantize.checkpoints.encodings import encoding_of, understanding
from quantize.checkpoints.layouts.plain import plain_weight
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
_UNLISTED = (
    re.compile(r"model-\d+-of-\d+\.safetensors"),
    re.compile(r"model[^/]*\.safetensors"),
    mistral_format.SHARD,
)
# A module of sentence-transformers, in a folder of its own.
_MODULE = re.compile(r"\d_Dense/model\.safetensors")
_NUMBERED = re.compile(r".*-(?P<number>\d{1,9})-of-(?P<count>\d{1,9})\.safetensors")
_MOST_SHARDS = 10_000
_HEADERS_AT_ONCE = 8


class Checkpoint(DescribedWeights):
    """Weights of a folder's safetensors files, decoded as `encoding` says, and its small files."""

    kind: Literal["checkpoint"] = "checkpoint"

    def __init__(
        self,
        files: ByteSource,
        name: str,
        config: Mapping[str, Any],
        encoding: Encoding,
        weights: Mapping[str, Weight],
    ) -> None:
        super().__init__(files, name, config, weights)
        self.encoding = encoding

    @property
    def nearest(self) -> str | None:
        """The file type that loses nothing measurable of weights that are quantized already."""
        return self.encoding.nearest


def open_checkpoint(files: ByteSource, name: str) -> Checkpoint:
    """Read config.json, the index, and the header of each shard; no weights.

    Raises CheckpointError and UnsupportedError.
    """
    listed = files.files()

    def read_json(name: str) -> Any:
        return parse_json(files.read_all(name, SMALL_FILE), name) if name in listed else None

    config = read_json("config.json")
    if mistral_format.PARAMS not in listed:
        _check_config(config, listed)
    stored = stored_tensors(files)
    if mistral_format.is_mistral_format(listed, stored):
        config = mistral_format.config_of(read_json(mistral_format.PARAMS))
        stored = mistral_format.renamed(stored)
    _check_config(config, listed)
    with understanding():
        encoding = encoding_of(config, read_json)
        weights = encoding.resolve(stored, partial(read_stored, files)) | _of_modules(files)
    return Checkpoint(files, name, config, encoding, weights)


def _check_config(config: Any, files: Collection[str]) -> None:
    if not isinstance(config, dict):
        problem = "there is no config.json" if config is None else "not a JSON object"
        inside = _checkpoints_inside(files)
        raise CheckpointError(
            "no-config",
            problem,
            where="config.json",
            reason="a Hugging Face checkpoint describes its architecture there",
            hint=inside or "give the folder that holds config.json and the .safetensors files",
        )


def _checkpoints_inside(files: Collection[str]) -> str | None:
    """A hint at what trainers write into their output folder: checkpoint-500, checkpoint-1000."""
    configs = {name.partition("/")[0] for name in files if name.endswith("/config.json")}
    weights = {name.partition("/")[0] for name in files if name.endswith(".safetensors")}
    found = sorted(configs & weights, key=lambda name: (len(name), name), reverse=True)
    return (
        f"there are checkpoints inside, give one of them: {', '.join(found[:5])}" if found else None
    )


def stored_tensors(files: ByteSource) -> dict[str, StoredTensor]:
    """The tensors of all shards, by name. Raises CheckpointError."""
    listed = files.files()
    index = next((name for name in (INDEX, mistral_format.INDEX) if name in listed), None)
    weight_map = read_index(files.read_all(index, SMALL_FILE), index) if index else {}
    check_files(weight_map, listed, index or INDEX)
    shards = sorted(set(weight_map.values()) or _without_index(listed))
    if not shards:
        raise _no_weights(listed)
    # From the Hub, each header is a request that takes its time.
    with ThreadPoolExecutor(_HEADERS_AT_ONCE) as pool:
        found = pool.map(lambda shard: _header(files, shard, listed[shard]), shards)
        headers = dict(zip(shards, found, strict=True))
    if weight_map:
        return join_shards(weight_map, headers, index or INDEX)
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


def _of_modules(files: ByteSource) -> dict[str, Weight]:
    """Weights of what sentence-transformers puts behind a model: "2_Dense.linear.weight"."""
    found = {}
    for file, size in files.files().items():
        if _MODULE.fullmatch(file):
            folder = file.partition("/")[0]
            for name, tensor in _header(files, file, size).tensors.items():
                found[f"{folder}.{name}"] = replace(plain_weight(tensor), name=f"{folder}.{name}")
    return found


def _header(files: ByteSource, shard: str, size: int) -> Header:
    return read_header(lambda offset, n: files.read(shard, offset, n), size, shard)


def _without_index(listed: Collection[str]) -> list[str]:
    """The files of weights where no index names them."""
    if _SINGLE in listed:
        return [_SINGLE]
    for pattern in _UNLISTED:
        found = [name for name in listed if pattern.fullmatch(name)]
        if found:
            _check_numbers(found)
            return found
    return []


def _check_numbers(shards: Collection[str]) -> None:
    """Raise CheckpointError if a name like model-1-of-3.safetensors tells of files not there."""
    for name in shards:
        match = _NUMBERED.fullmatch(name)
        count = int(match["count"]) if match else 0
        if match is None or not len(shards) < count <= _MOST_SHARDS:
            continue
        there = {int(found["number"]) for one in shards if (found := _NUMBERED.fullmatch(one))}
        missing = [str(number) for number in range(1, count + 1) if number not in there]
        raise CheckpointError(
            "missing-shards",
            f"of {count} files, {len(there)} are there; missing: {', '.join(missing[:5])}",
            where=name,
            hint="download the checkpoint again, all its files",
        )


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
        hint=_checkpoints_inside(listed) or "give the folder that holds the weights",
    )
