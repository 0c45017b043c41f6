"""Checks of a GGUF file's tensors: llama.cpp wants all of an architecture's, and no others.

`ollama create` looks at none of this; the file fails when it is first loaded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from quantize.errors import CheckpointError
from quantize.formats.needs import missing, optional
from quantize.formats.tensor_names import unknown_tensors
from quantize.ollama.doctor.checks.base import Pair, Problem, error, note, warning
from quantize.ollama.modelfile.facts import Facts
from quantize.planning.model import Model, OutputTensor
from quantize.planning.shapes import check_shapes
from quantize.units import listed

_AGAIN = "convert it again with a current converter"
_FAILS = "creating works, loading fails"
_NO_SIZE_IN_OLLAMA = frozenset({"TQ1_0", "TQ2_0"})
_EMBEDDED = ("a.", "mm.", "mtp.", "s.", "v.")
_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")


def tensors(pair: Pair) -> Iterator[Problem]:
    # A shard has a part of them.
    if not pair.file.is_model or (pair.file.value("split.count") or 1) > 1:
        return
    names = pair.file.tensors
    if "token_embd.weight" not in names:
        yield error(f"there is no token_embd.weight: {_FAILS}", _AGAIN)
    blocks = _blocks(pair.file)
    count = pair.file.hparam("block_count")
    if isinstance(count, int) and blocks and not len(blocks) == count == max(blocks) + 1:
        yield error(
            f"block_count is {count}, but the tensors are of {len(blocks)} blocks"
            f" up to {max(blocks)}: {_FAILS}",
            _AGAIN,
        )
    unknown = unknown_tensors(pair.file.arch, list(names))
    if unknown:
        yield error(
            f"llama.cpp has no tensor {unknown[0]} for {pair.file.arch}"
            f" ({len(unknown)} of {len(names)} are like that): {_FAILS}",
            _AGAIN,
        )
    yield from _misshapen(pair.file)
    others = optional(pair.file.kvs, names)
    if others:
        yield note(f"other models of {pair.file.arch} have what this one has not: {listed(others)}")


def needed(pair: Pair) -> Iterator[Problem]:
    """What is missing of what llama.cpp needs for the architecture."""
    if not pair.file.is_model or (pair.file.value("split.count") or 1) > 1:
        return
    shapes = {name: tensor.shape for name, tensor in pair.file.tensors.items()}
    found = defaultdict(list)
    for one in missing(pair.file.kvs, shapes):
        found[one.effect].append(one.name)
    if found["refused"]:
        yield error(f"without {listed(found['refused'])}: {_FAILS}", _AGAIN)
    if found["differs"]:
        yield warning(f"without {listed(found['differs'])} llama.cpp takes another value", _AGAIN)


def _blocks(file: Facts) -> dict[int, set[str]]:
    found = defaultdict(set)
    for match in filter(None, map(_BLOCK.fullmatch, file.tensors)):
        found[int(match[1])].add(match[2])
    return found


def _misshapen(file: Facts) -> Iterator[Problem]:
    outputs = [OutputTensor(tensor.name, tensor.shape) for tensor in file.tensors.values()]
    try:
        check_shapes(Model(file.path.stem, file.arch, file.kvs, outputs))
    except CheckpointError as problem:
        yield error(f"{problem.where}: {problem.message}: {_FAILS}", _AGAIN)


def tensor_types(pair: Pair) -> Iterator[Problem]:
    found = {t.dtype for t in pair.file.tensors.values()} & _NO_SIZE_IN_OLLAMA
    if found:
        yield error(
            f"Ollama has no size for {', '.join(sorted(found))}: it answers `size overflow`",
            "quantize to another type, such as Q2_K",
        )


def embedded_vision(pair: Pair) -> Iterator[Problem]:
    if pair.file.is_model and any(name.startswith(_EMBEDDED) for name in pair.file.tensors):
        yield warning(
            "the encoder of images or sound is inside the file: Ollama stores it unchecked",
            "make it a file of its own, an mmproj, with a second FROM line",
        )
