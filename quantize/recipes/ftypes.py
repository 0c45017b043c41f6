"""File types: what `--type` names. A file type is a mix; most tensors get its default type."""

from __future__ import annotations

from dataclasses import dataclass

from quantize.errors import UnsupportedError
from quantize.registry import names_like


@dataclass(frozen=True, slots=True)
class FileType:
    """`id` is the value of general.file_type, `default` the ggml type of most tensors."""

    name: str
    id: int
    default: str
    description: str
    aliases: tuple[str, ...] = ()


# Ids: llama.h, enum llama_ftype. Aliases: tools/quantize/quantize.cpp.
FTYPES = {
    ftype.name: ftype
    for ftype in (
        FileType("F32", 0, "F32", "32-bit floats: exact, and twice the size of most checkpoints"),
        FileType("F16", 1, "F16", "16-bit floats with a small range"),
        FileType("BF16", 32, "BF16", "16-bit floats with the range of F32, as models are trained"),
        FileType("Q8_0", 7, "Q8_0", "8 bits: hardly distinguishable from the original"),
        FileType("Q6_K", 18, "Q6_K", "6 bits: very close to the original"),
        FileType("Q5_K_M", 17, "Q5_K", "5 bits, 6 where it matters most", ("Q5_K",)),
        FileType("Q5_K_S", 16, "Q5_K", "5 bits"),
        FileType("Q5_1", 9, "Q5_1", "5 bits, older and larger than Q5_K_M"),
        FileType("Q5_0", 8, "Q5_0", "5 bits, older"),
        FileType("Q4_K_M", 15, "Q4_K", "4 bits, 6 where it matters: the usual choice", ("Q4_K",)),
        FileType("Q4_K_S", 14, "Q4_K", "4 bits, 5 in the first layers"),
        FileType("IQ4_NL", 25, "IQ4_NL", "4 bits on an uneven grid, for any row length"),
        FileType("IQ4_XS", 30, "IQ4_XS", "4 bits on an uneven grid, the smallest of 4 bits"),
        FileType("Q4_1", 3, "Q4_1", "4 bits, older and larger than Q4_K_S"),
        FileType("Q4_0", 2, "Q4_0", "4 bits, older; some phones and CPUs run it fastest"),
        FileType("MXFP4_MOE", 38, "MXFP4", "4-bit floats for experts, 8 bits for all else"),
        FileType("Q3_K_L", 13, "Q3_K", "3 bits, 5 where it matters most"),
        FileType("Q3_K_M", 12, "Q3_K", "3 bits, 4 to 5 where it matters most", ("Q3_K",)),
        FileType("IQ3_M", 27, "IQ3_S", "3.7 bits on a lattice, 4 where it matters most"),
        FileType("IQ3_S", 26, "IQ3_S", "3.4 bits on a lattice"),
        FileType("Q3_K_S", 11, "Q3_K", "3 bits: loses much"),
        FileType("IQ3_XS", 22, "IQ3_S", "3.3 bits on a lattice, with an imatrix only"),
        FileType("IQ3_XXS", 23, "IQ3_XXS", "3.1 bits on a lattice, with an imatrix only"),
        FileType("Q2_K", 10, "Q2_K", "2 bits, 3 to 4 where it matters most: loses a lot"),
        FileType("Q2_K_S", 21, "Q2_K", "2 bits, with an imatrix only"),
        FileType("IQ2_M", 29, "IQ2_S", "2.7 bits on a lattice, with an imatrix only"),
        FileType("IQ2_S", 28, "IQ2_XS", "2.5 bits on a lattice, with an imatrix only"),
        FileType("IQ2_XS", 20, "IQ2_XS", "2.3 bits on a lattice, with an imatrix only"),
        FileType("IQ2_XXS", 19, "IQ2_XXS", "2.1 bits on a lattice, with an imatrix only"),
        FileType("TQ2_0", 37, "TQ2_0", "2 bits, for models trained with ternary weights"),
        FileType("IQ1_M", 31, "IQ1_M", "1.8 bits on a lattice, with an imatrix only"),
        FileType("TQ1_0", 36, "TQ1_0", "1.7 bits, for models trained with ternary weights"),
        FileType("IQ1_S", 24, "IQ1_S", "1.6 bits on a lattice, with an imatrix only"),
    )
}  # fmt: skip

_BY_ANY_NAME = {name: ftype for ftype in FTYPES.values() for name in (ftype.name, *ftype.aliases)}
_BY_ID = {str(ftype.id): ftype for ftype in FTYPES.values()}


def file_type_of_id(number: object) -> FileType | None:
    """The file type that a GGUF file names by general.file_type."""
    return _BY_ID.get(str(number))


def file_type(name: str) -> FileType:
    """The file type of that name, alias or id, in any case. Raises UnsupportedError."""
    wanted = name.strip().upper().replace("-", "_")
    found = _BY_ANY_NAME.get(wanted) or _BY_ID.get(wanted)
    if found is not None:
        return found
    raise UnsupportedError(
        "unknown-type",
        f"{name!r} is not a file type",
        reason=names_like(wanted, _BY_ANY_NAME),
        hint="`quantize types` lists them all",
    )
