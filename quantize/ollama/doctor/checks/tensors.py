"""Checks of a GGUF file's tensors: llama.cpp wants all of an architecture's, and no others.

`ollama create` looks at none of this; the file fails when it is first loaded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from quantize.errors import CheckpointError
from quantize.formats.tensor_names import unknown_tensors
from quantize.ollama.doctor.checks.base import Pair, Problem, error, warning
from quantize.ollama.modelfile.facts import Facts
from quantize.planning.model import Model, OutputTensor
from quantize.planning.shapes import check_shapes

_AGAIN = "convert it again with a current converter"
_FAILS = "creating works, loading fails"
_NO_SIZE_IN_OLLAMA = frozenset({"TQ1_0", "TQ2_0"})
_EMBEDDED = ("a.", "mm.", "mtp.", "s.", "v.")
_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
# Tensor of a block -> those of which the block needs one, too.
_PARTNERS: Mapping[str, tuple[str, ...]] = {
    "attn_output.weight": ("attn_q.weight", "attn_qkv.weight", "attn_q_b.weight"),
    "attn_q.weight": ("attn_output.weight",),
    "attn_k.weight": ("attn_q.weight",),
    "attn_v.weight": ("attn_k.weight",),
    "attn_qkv.weight": ("attn_output.weight", "ssm_out.weight"),
    "ffn_down.weight": ("ffn_up.weight",),
    "ffn_up.weight": ("ffn_down.weight",),
    "ffn_gate.weight": ("ffn_up.weight",),
    "ffn_down_exps.weight": ("ffn_up_exps.weight", "ffn_gate_up_exps.weight"),
    "ffn_up_exps.weight": ("ffn_down_exps.weight",),
    "ffn_gate_exps.weight": ("ffn_up_exps.weight",),
    "ffn_gate_inp.weight": ("ffn_down_exps.weight",),
}
# Some blocks of this have an attention of one matrix.
_LINEAR_ATTENTION = frozenset({"deci"})


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
    yield from _incomplete(pair.file, blocks)
    yield from _misshapen(pair.file)


def _blocks(file: Facts) -> dict[int, set[str]]:
    found = defaultdict(set)
    for match in filter(None, map(_BLOCK.fullmatch, file.tensors)):
        found[int(match[1])].add(match[2])
    return found


def _incomplete(file: Facts, blocks: Mapping[int, set[str]]) -> Iterator[Problem]:
    if file.arch in _LINEAR_ATTENTION:
        return
    for block, present in sorted(blocks.items()):
        for name, partners in _PARTNERS.items():
            if name in present and not present.intersection(partners):
                yield error(
                    f"blk.{block} has {name}, but no {' or '.join(partners)}: {_FAILS}", _AGAIN
                )
                return


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
