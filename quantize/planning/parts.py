"""Output in several files, each small enough for a limit, or as the source has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from quantize.errors import UsageError
from quantize.formats.gguf import DEFAULT_ALIGNMENT, pad
from quantize.formats.gguf_split import COUNT, NO, TENSORS
from quantize.formats.kv import KV, i32, u16
from quantize.options.files import SplitOptions
from quantize.planning.model import OutputTensor
from quantize.units import format_bytes

_MAX_SIZE, _KEEP = "--split-max-size", "--keep-split"
_MOST = 2**16 - 1  # split.count is UINT16


@dataclass(frozen=True, slots=True)
class Split:
    """Files of at most `max_size` bytes of tensors; or those of a split source are kept."""

    max_size: int | None = None
    keep: bool = False

    def record(self) -> dict[str, int | bool] | None:
        """For the manifest; None for one file."""
        return None if self == WHOLE else asdict(self)


WHOLE = Split()


def split_of(options: SplitOptions) -> Split:
    """What these options say. Raises UsageError."""
    max_size, keep = options.split_max_size, options.keep_split
    if max_size is not None and keep:
        raise UsageError(
            "two-splits",
            f"{_MAX_SIZE} and {_KEEP} do not go together",
            reason="the one says where to cut, the other to cut as the source is",
            hint="leave out one of them",
        )
    return Split(None if max_size is None else int(max_size), keep)


def file_numbers(
    outputs: Sequence[OutputTensor], sizes: Sequence[int], max_size: int | None
) -> list[int]:
    """In which file each output goes, the first one being 0; as gguf-split cuts.

    Tensors count, with what fills them up, headers do not. Raises UsageError for a limit that
    a tensor exceeds alone, and for a file that would be without tensors.
    """
    if max_size is None:
        return _kept(outputs)
    numbers, number, used = [], 0, 0
    for output, nbytes in zip(outputs, sizes, strict=True):
        room = pad(nbytes, DEFAULT_ALIGNMENT)
        if room > max_size:
            raise UsageError(
                "large-tensor",
                f"{format_bytes(room)} do not fit into a file of {format_bytes(max_size)}",
                where=output.name,
                reason="a tensor is in one file",
                hint=f"{_MAX_SIZE} {room} or more",
            )
        if used + room > max_size:
            number, used = number + 1, 0
        used += room
        numbers.append(number)
    if number >= _MOST:
        raise UsageError(
            "many-files",
            f"{number + 1} files, where {_MOST} can be counted",
            where=_MAX_SIZE,
            hint="allow larger ones",
        )
    return numbers


def _kept(outputs: Sequence[OutputTensor]) -> list[int]:
    numbers = [output.file for output in outputs]
    # The first one may have key-values alone.
    without = sorted(set(range(1, max(numbers, default=0))).difference(numbers))
    if without:
        raise UsageError(
            "empty-file",
            f"no tensor is left for file {without[0] + 1}",
            where=_KEEP,
            reason="all its blocks are pruned, and llama.cpp wants every file",
            hint=f"{_MAX_SIZE} SIZE instead",
        )
    return numbers


def kvs_of_file(number: int, count: int, tensors: int, *, kept: bool) -> tuple[KV, ...]:
    """What says that a file is one of `count`; nothing for one alone.

    gguf-split and llama-quantize have the same keys in another order.
    """
    if count == 1:
        return ()
    no, total, of_tensors = u16(NO, number), u16(COUNT, count), i32(TENSORS, tensors)
    return (no, total, of_tensors) if kept else (no, of_tensors, total)
