"""model.safetensors.index.json: which shard holds which tensor, and whether all of them are there.

Only `weight_map` is used. Its metadata (total_size) is wrong in many published checkpoints.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from quantize.errors import CheckpointError
from quantize.formats.json_file import parse_json
from quantize.formats.safetensors import Header
from quantize.tensors import StoredTensor
from quantize.units import listed


def read_index(data: bytes, where: str) -> dict[str, str]:
    """Tensor name -> shard, from the bytes of an index file called `where`.

    Raises CheckpointError if it is not an index, or names a file outside the checkpoint's folder.
    """
    parsed = parse_json(data, where)
    weight_map = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError("bad-index", "no weight_map that maps tensors to files", where=where)
    for name, file in weight_map.items():
        if not isinstance(file, str) or not _stays_inside(file):
            raise CheckpointError(
                "bad-index",
                f"{file!r} is not a file of this checkpoint",
                where=f"{where}:{name}",
                reason="shards are named relative to the folder of the index and stay inside it",
            )
    return weight_map


def check_files(weight_map: Mapping[str, str], present: Collection[str], where: str) -> None:
    """Raise CheckpointError if a shard that the index names is not among the files present.

    Comes before `join_shards`: a missing file explains all its missing tensors.
    """
    missing = sorted(set(weight_map.values()).difference(present))
    if missing:
        raise CheckpointError(
            "missing-shards",
            f"{_count(missing, 'file')} of the index missing: {listed(missing)}",
            where=where,
            hint="download the checkpoint again, all its files",
        )


def join_shards(
    weight_map: Mapping[str, str], headers: Mapping[str, Header], where: str
) -> dict[str, StoredTensor]:
    """All tensors of the shards, in the order of `headers` (file -> header).

    A tensor that is in several shards is taken from the one the index names. Raises
    CheckpointError if index and shards do not name the same tensors.
    """
    found: dict[str, StoredTensor] = {}
    for file, header in headers.items():
        for name, tensor in header.tensors.items():
            if name not in found or weight_map.get(name) == file:
                found[name] = tensor
    missing = sorted(weight_map.keys() - found.keys())
    if missing:
        raise CheckpointError(
            "missing-tensors",
            f"{_count(missing, 'tensor')} of the index in no shard: {listed(missing)}",
            where=where,
            hint="download it again: the index and the shards are of different versions",
        )
    extra = sorted(found.keys() - weight_map.keys())
    if extra:
        raise CheckpointError(
            "unlisted-tensors",
            f"{_count(extra, 'tensor')} of the shards not in the index: {listed(extra)}",
            where=where,
            hint="remove shards that belong to another checkpoint, or download it again",
        )
    return found


def _stays_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        # Backslashes and drive letters lead out of the folder on Windows.
        and not any(c in file for c in "\\:\0")
    )


def _count(names: list[str], noun: str) -> str:
    return f"1 {noun}" if len(names) == 1 else f"{len(names)} {noun}s"
