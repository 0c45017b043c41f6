"""A GGUF file against what it was made from: tensors are made again and compared byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.checkpoints.source import RowSource
from quantize.errors import VerificationError
from quantize.execution.kernel_sets import choose_kernels
from quantize.execution.memory import check_memory, limits_of
from quantize.execution.order import in_source_order
from quantize.execution.worker import Worker
from quantize.formats.gguf import encode_header
from quantize.formats.kv import KV
from quantize.options.run import RunOptions
from quantize.planning.plan import Plan, PlannedTensor, Task, tasks
from quantize.progress import Progress

_HINT = "convert it again, or give the source, the revision and the options it was made with"


def compare_with_source(
    file: GGUFFile,
    plan: Plan,
    source: RowSource,
    settings: RunOptions,
    progress: Progress,
    *,
    sample: int | None = None,
) -> int:
    """Raise VerificationError for the first tensor that `plan` makes differently from `source`.

    `sample` tensors are looked at, always the same ones; None are all. Returns how many were.
    """
    tensors = _expected(file, plan)
    chosen = sampled([tensor.name for tensor in tensors], sample)
    limits = limits_of(settings, plan.n_params)
    # A network is read forward, and what is read from end to end can be held against its digest.
    cut = in_source_order(
        source, tensors, (task for task in tasks(plan, limits.step) if task.index in chosen)
    )
    check_memory(source, tensors, cut, limits)
    progress.start("compare", sum(tensors[index].nbytes for index in chosen))

    def check(task: Task) -> None:
        tensor = tensors[task.index]

        part = file.tensors[tensor.name].file

        def compare(offset: int, data: memoryview) -> None:
            stored = file.files.read(part, offset, len(data))
            if stored != data:
                raise _different(file, tensor, offset, stored, bytes(data))

        worker = Worker([tensors], source, [compare], kernels, limits.step)
        worker.write(task, worker.read(task))
        progress.advance((task.hi - task.lo) * tensor.row_nbytes, tensor.name)

    kernels = choose_kernels(settings.kernels)
    with ThreadPoolExecutor(limits.jobs) as pool:
        for _ in pool.map(check, cut):
            pass
    progress.finish()
    return len(chosen)


def compare_header(file: GGUFFile, plan: Plan) -> None:
    """Raise VerificationError, with the first key that differs, unless the header is the plan's."""
    found_headers = [
        file.files.read(part, 0, header.data_start) for part, header in file.headers.items()
    ]
    if found_headers == [planned.header for planned in plan.files]:
        return
    found, expected = encoded(file.kvs), encoded(plan.kvs)
    keys = (key for key in expected | found if found.get(key) != expected.get(key))
    raise VerificationError(
        "not-from-source",
        "the header is not what the source gives",
        where=f"{file.file}: {next(keys, 'header')}",
        hint=_HINT,
    )


def encoded(kvs: Sequence[KV]) -> dict[str, bytes]:
    """Key-values as a header has them, by key: what was read back is a rounded float, say."""
    return {kv.key: encode_header([kv], []) for kv in kvs}


def _expected(file: GGUFFile, plan: Plan) -> list[PlannedTensor]:
    """The planned tensors, at their places in the file."""
    stored = file.tensors
    planned = {tensor.name: tensor for tensor in plan.tensors}
    for name in [*planned, *stored]:
        if name not in stored or name not in planned:
            where = "the file" if name not in stored else "what the source gives"
            raise VerificationError(
                "not-from-source",
                f"{where} lacks the tensor",
                where=f"{file.file}: {name}",
                hint=_HINT,
            )
    for name, tensor in planned.items():
        found = stored[name]
        if (found.dtype, found.shape) != (tensor.type, tensor.shape):
            raise VerificationError(
                "not-from-source",
                f"{found.dtype} of shape {found.shape}, where the source and its options give "
                f"{tensor.type} of shape {tensor.shape}",
                where=f"{found.file}: {name}",
                hint=_HINT,
            )
    return [replace(tensor, offset=stored[tensor.name].offset) for tensor in plan.tensors]


def sampled(names: Sequence[str], sample: int | None) -> set[int]:
    """Places of tensors, by the digests of their names: spread, and the same ones in every run."""
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    return set(order[:sample])


def _different(
    file: GGUFFile, tensor: PlannedTensor, offset: int, stored: bytes, expected: bytes
) -> VerificationError:
    first = next(
        i for i, pair in enumerate(zip(stored, expected, strict=True)) if pair[0] != pair[1]
    )
    place = offset - tensor.offset + first
    return VerificationError(
        "not-from-source",
        "the tensor is not what the source gives",
        where=f"{file.tensors[tensor.name].file}: {tensor.name}",
        reason=f"byte {place} of {tensor.nbytes} is the first that differs",
        hint=_HINT,
    )
