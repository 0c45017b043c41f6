"""The older files of llama-imatrix, usually .dat: numbers of 4 bytes, names, and values.

Layout: common/imatrix-loader.cpp of llama.cpp, all little endian. The number of entries; of each
entry the length of its name, the name, over how many chunks it was summed, how many values, and the
values; then, in later files, how many chunks in all, and the name of the text.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from quantize.errors import CheckpointError, UsageError
from quantize.formats.imatrix import MAKE_ONE, Imatrix, ImatrixEntry, checked, refuse
from quantize.storage.local import read_into, sha256_of

# Of an entry: three numbers, a name of one letter, one value.
_SMALLEST_ENTRY = 4 + 1 + 4 + 4 + 4
_LONGEST_NAME = 255


def read_dat(file: Path, size: int) -> Imatrix:
    """The matrix in a file of `size` bytes. Raises UsageError where it is none, CheckpointError."""
    cursor = _Cursor(file, size)
    (n,) = cursor.integers(1) if size >= 4 else (0,)
    if not 1 <= n <= size // _SMALLEST_ENTRY:
        raise UsageError(
            "no-imatrix",
            "no importance matrix",
            where=str(file),
            reason=f"it is not a GGUF file, and as a .dat file it would have {n} entries",
            hint=MAKE_ONE,
        )
    entries: dict[str, ImatrixEntry] = {}
    for name, entry in _dat_entries(cursor, n):
        if name in entries:
            refuse(file, f"{name} is there twice")
        entries[name] = checked(name, entry)
    # What follows was added later, a number first and then a name: old files end here.
    chunks = cursor.integers(1)[0] if cursor.left >= 4 else 0
    named = cursor.integers(1)[0] if cursor.left >= 4 else 0
    datasets = (cursor.text(named, "dataset"),) if named > 0 else ()
    return Imatrix(file, sha256_of(file), "dat", entries, max(chunks, 0), 0, datasets)


def _dat_entries(cursor: _Cursor, n: int) -> Iterator[tuple[str, ImatrixEntry]]:
    for number in range(n):
        (length,) = cursor.integers(1)
        if not 1 <= length <= _LONGEST_NAME:
            refuse(cursor.file, f"entry {number} has a name of {length} bytes")
        name = cursor.text(length, f"name of entry {number}")
        calls, size = cursor.integers(2)
        if size < 1 or calls < 0:
            refuse(cursor.file, f"{name} has {size} values of {calls} calls")
        offset = cursor.position
        cursor.skip(4 * size, f"the values of {name}")
        # Without a number of calls, the values are means already.
        yield name, ImatrixEntry(cursor.file, offset, size, (calls or 1,))


class _Cursor:
    """Reads a .dat file front to back, and never past its end."""

    def __init__(self, file: Path, size: int) -> None:
        self.file = file
        self.position = 0
        self._size = size

    @property
    def left(self) -> int:
        return self._size - self.position

    def skip(self, nbytes: int, what: str) -> None:
        if nbytes > self.left:
            raise CheckpointError(
                "truncated-file",
                f"{nbytes - self.left} bytes are missing",
                where=str(self.file),
                reason=f"{what} begins at byte {self.position}, the file ends at {self._size}",
                hint="download the file again, or let llama-imatrix finish",
            )
        self.position += nbytes

    def integers(self, n: int) -> Sequence[int]:
        start = self.position
        self.skip(4 * n, "a number")
        return struct.unpack(f"<{n}i", self._read(start, 4 * n))

    def text(self, nbytes: int, what: str) -> str:
        start = self.position
        self.skip(nbytes, f"the {what}")
        try:
            # llama.cpp's strings end at a zero.
            return self._read(start, nbytes).partition(b"\0")[0].decode()
        except UnicodeDecodeError as error:
            refuse(self.file, f"the {what} is not UTF-8", str(error))

    def _read(self, offset: int, nbytes: int) -> bytes:
        data = bytearray(nbytes)
        read_into(self.file, self.file.name, offset, memoryview(data))
        return bytes(data)
