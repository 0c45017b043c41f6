"""A conversion as its manifest records it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from quantize.execution import Shard, Written
from quantize.formats.imatrix import Imatrix
from quantize.planning.plan import Plan, PlannedFile, PlannedTensor
from quantize.publish.manifest import (
    AdapterRecord,
    OutputRecord,
    SourceFile,
    SourceRecord,
    TensorRecord,
)
from quantize.sources.adapters import OpenedAdapter
from quantize.sources.fetching import unchecked, weight_files
from quantize.sources.opening import Opened
from quantize.storage.local import sha256_of


def source_record(
    opened: Opened, plan: Plan, adapters: Sequence[OpenedAdapter], of_weights: Mapping[str, str]
) -> SourceRecord:
    """The source with every file that was read. `of_weights` are digests of its weight files."""
    origin = opened.source
    sizes = origin.files.files()
    digests = {**origin.files.digests(), **of_weights}
    weights = weight_files(opened, plan)
    by_word = {name: False for name in unchecked(opened, plan) if name in digests}
    read = {name for name in digests if not name.endswith(".safetensors")}.union(weights)
    return SourceRecord(
        name=origin.name,
        arch=plan.arch,
        files=[
            SourceFile(name, sizes[name], digests.get(name), by_word.get(name)) for name in read
        ],
        repo=opened.repo,
        commit=opened.commit,
        adapters=[_adapter_record(one) for one in adapters] or None,
    )


def imatrix_record(imatrix: Imatrix | None) -> dict[str, object] | None:
    """Which importance matrix it was; None without one. Not where it was: that decides nothing."""
    if imatrix is None:
        return None
    return {"file": imatrix.file.name, "sha256": imatrix.sha256, "chunks": imatrix.chunks or None}


def output_records(plan: Plan, one: Written) -> Iterator[OutputRecord]:
    """One for each file."""
    tensors = iter(plan.tensors)
    for file, shard in zip(plan.files, one.shards, strict=True):
        members = list(islice(tensors, file.tensors))
        yield _output_record(plan, file, shard, members, one.tensors)


def _output_record(
    plan: Plan,
    file: PlannedFile,
    shard: Shard,
    members: Sequence[PlannedTensor],
    digests: Mapping[str, str],
) -> OutputRecord:
    return OutputRecord(
        file=shard.path.name,
        type=plan.recipe_name,
        size=shard.size,
        sha256=shard.sha256,
        plan=plan.digest,
        bits_per_weight=plan.bits_per_weight,
        tensors=[
            TensorRecord(
                tensor.name,
                tensor.type,
                tensor.shape,
                tensor.offset - file.start,
                tensor.nbytes,
                digests[tensor.name],
            )
            for tensor in members
        ],
    )


def _adapter_record(one: OpenedAdapter) -> AdapterRecord:
    files = one.adapter.files.source
    digests = dict(files.digests())
    for name in one.adapter.weight_files:
        path = files.local_path(name)
        if path is not None:
            digests[name] = sha256_of(path)
    return AdapterRecord(
        name=one.adapter.name,
        scale=one.adapter.factor,
        base=one.adapter.settings.base,
        files=[SourceFile(name, files.files()[name], digests[name]) for name in sorted(digests)],
        repo=one.repo,
        commit=one.commit,
    )
