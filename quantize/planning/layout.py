"""Where everything is in the output file: llama-quantize's order, llama.cpp's alignment."""

from __future__ import annotations

from collections.abc import Sequence

from quantize.formats.gguf import TensorEntry, data_offsets, encode_header
from quantize.formats.imatrix import ImatrixEntry
from quantize.formats.kv import KeyValues, u32
from quantize.planning.model import Model, OutputTensor
from quantize.planning.parts import file_numbers, kvs_of_file
from quantize.planning.plan import Plan, PlannedFile, PlannedTensor
from quantize.recipes import FTYPES, Choice, Recipe
from quantize.tensors import FLOAT_TYPES, GGML_TYPES, Shape, block_of, tensor_nbytes

VERSION = u32("general.quantization_version", 2)  # ggml.h, GGML_QNT_VERSION


def file_order(name: str) -> tuple[int, str]:
    """Sort key: tensors of no block first, then by block number, by name within each.

    llama.cpp's model loader keeps its tensors in this order (weight_name_comparer), and
    llama-quantize writes them so.
    """
    block = block_of(name)
    return (-1 if block is None else block, name)


def written_shape(shape: Shape) -> Shape:
    """Without leading dimensions of 1, which ggml does not count."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def lay_out(model: Model, recipe: Recipe, choices: Sequence[Choice]) -> Plan:
    """Give each output its type and place; outputs and `choices` are in file order."""
    ftype = u32("general.file_type", _file_type_id(recipe, choices))
    kvs = model.kvs.with_last((VERSION, ftype)).with_last(model.added)
    outputs, names = model.outputs, (model.name, model.arch, recipe.name)
    return place(*names, kvs, outputs, choices, model.max_size)


def place(
    name: str,
    arch: str,
    recipe_name: str,
    kvs: KeyValues,
    outputs: Sequence[OutputTensor],
    choices: Sequence[Choice],
    max_size: int | None = None,
) -> Plan:
    """The same with all key-values given. Raises UsageError if the files cannot be so small."""
    sizes = [
        tensor_nbytes(choice.type, written_shape(output.shape))
        for output, choice in zip(outputs, choices, strict=True)
    ]
    numbers = file_numbers(outputs, sizes, max_size)
    members = [
        [index for index, own in enumerate(numbers) if own == number]
        for number in range(max(numbers, default=0) + 1)
    ]
    files: list[PlannedFile] = []
    tensors: list[PlannedTensor] = []
    start = 0
    for number, indexes in enumerate(members):
        about = kvs_of_file(number, len(members), len(outputs), kept=max_size is None)
        offsets, data_size = data_offsets(sizes[index] for index in indexes)
        entries = [
            TensorEntry(output.name, written_shape(output.shape), choices[index].type, offset)
            for index, offset in zip(indexes, offsets, strict=True)
            for output in (outputs[index],)
        ]
        header = encode_header(about if number else (*kvs, *about), entries)
        files.append(PlannedFile(header, len(indexes), start, len(header) + data_size))
        tensors += [
            _placed(outputs[index], choices[index], start + len(header) + offset, sizes[index])
            for index, offset in zip(indexes, offsets, strict=True)
        ]
        start += len(header) + data_size
    return Plan(name, arch, recipe_name, kvs, tuple(tensors), tuple(files))


def _placed(output: OutputTensor, choice: Choice, offset: int, nbytes: int) -> PlannedTensor:
    return PlannedTensor(
        name=output.name,
        shape=written_shape(output.shape),
        type=choice.type,
        reason=choice.reason,
        offset=offset,
        nbytes=nbytes,
        sources=output.sources,
        transform=output.transform,
        full_shape=output.shape,
        values=output.values,
        repacked=output.exact_type == choice.type,
        fixed_nbytes=output.fixed_nbytes
        + (0 if output.imatrix is None else output.imatrix.fixed_nbytes),
        imatrix=_imatrix(output, choice),
    )


def _imatrix(output: OutputTensor, choice: Choice) -> ImatrixEntry | None:
    """What the quantizer gets; None where it makes no difference."""
    is_quantized = GGML_TYPES[choice.type].block_size > 1 and output.exact_type != choice.type
    return output.imatrix if is_quantized else None


def _file_type_id(recipe: Recipe, choices: Sequence[Choice]) -> int:
    """A float file with experts in MXFP4 is called by their type, as llama.cpp's converter does."""
    if recipe.mix.default in FLOAT_TYPES and any(choice.type == "MXFP4" for choice in choices):
        return FTYPES["MXFP4_MOE"].id
    return recipe.id
