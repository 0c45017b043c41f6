"""One model in several GGUF files: how llama.cpp names them, and what says that they are one.

Sources: llama_split_path in src/llama.cpp, tools/gguf-split of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from quantize.errors import CheckpointError
from quantize.formats.gguf_read import GGUFHeader

PREFIX = "split."
NO, COUNT, TENSORS = f"{PREFIX}no", f"{PREFIX}count", f"{PREFIX}tensors.count"
# Everything before the number, the number, of how many.
NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


def stem_of(name: str) -> str:
    """A file's name without its ending, and without its number if it is a part of a model."""
    part = NAME.fullmatch(name)
    return part[1] if part else name.removesuffix(".gguf")


def part_names(stem: str, count: int) -> tuple[str, ...]:
    """The names of all files of a model; of one alone, the name that any file has."""
    if count == 1:
        return (f"{stem}.gguf",)
    return tuple(f"{stem}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1))


def parts_of(name: str) -> tuple[str, ...]:
    """The names of all files of the model that the file `name` is a part of, by the name alone."""
    part = NAME.fullmatch(name)
    return part_names(part[1], int(part[3])) if part and int(part[3]) > 1 else (name,)


def check_parts(headers: Mapping[str, GGUFHeader]) -> None:
    """Raise CheckpointError unless these files, in their order, are one model and all of it."""
    found = sum(len(header.tensors) for header in headers.values())
    names: set[str] = set()
    for number, (file, header) in enumerate(headers.items()):
        kvs = header.kvs
        count = kvs.value(COUNT, 1)
        if count != len(headers):
            raise _mismatch(file, f"{COUNT} is {count}, and the names are those of {len(headers)}")
        if len(headers) == 1:
            return
        if kvs.value(NO) != number:
            raise _mismatch(file, f"its {NO} is {kvs.value(NO)}, not {number}")
        if kvs.value(TENSORS, found) != found:
            raise _mismatch(file, f"{kvs.value(TENSORS)} tensors are named, {found} are there")
        for name in header.tensors:
            if name in names:
                raise _mismatch(f"{file}: {name}", "another part has a tensor of the same name")
            names.add(name)


def _mismatch(where: str, reason: str) -> CheckpointError:
    return CheckpointError(
        "other-part",
        "not the part of a model that its name says",
        where=where,
        reason=reason,
        hint="give all files of the model the names they had: NAME-00001-of-00003.gguf",
    )
