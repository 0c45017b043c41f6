"""What is to be written, whatever it comes from: tensors before they have a type and a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from quantize.formats.imatrix import ImatrixEntry
from quantize.formats.kv import KV, KeyValues
from quantize.tensors import Shape
from quantize.transforms import IDENTITY, Transform


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor to write: made from `sources` by `transform`, or of given float32 `values`.

    `exact_type` is the ggml type that holds the stored values of all sources exactly, if there is
    one and the transform only moves rows. `stored` is the type that it has where nothing is
    quantized; `kept`: it keeps a quantized one unless requantizing is allowed. `fixed_nbytes`:
    memory that any range of rows takes on top of its own. `imatrix` says how much its columns
    matter. `file` is the number of its file if the output is split as the source is.
    """

    name: str
    shape: Shape
    sources: tuple[str, ...] = ()
    transform: Transform = IDENTITY
    values: bytes | None = None
    exact_type: str | None = None
    stored: str = "F32"
    kept: bool = False
    fixed_nbytes: int = 0
    imatrix: ImatrixEntry | None = None
    file: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A model to write: everything about it but the types of its tensors.

    `has_imatrix`: an importance matrix goes with it. `added` are key-values that come last, in
    place of others of the same keys; the mixes look at `kvs` alone. `max_size` is for the tensors
    of one file, in bytes. `notes` are what a person should know of what was found, a line each.
    """

    name: str
    arch: str
    kvs: KeyValues
    outputs: Sequence[OutputTensor]
    has_imatrix: bool = False
    added: tuple[KV, ...] = ()
    max_size: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def written_kvs(self) -> KeyValues:
        """All key-values but those that depend on the types."""
        return self.kvs.with_last(self.added)


def in_one_file(model: Model) -> Model:
    """The model without a place to cut it."""
    return replace(
        model, max_size=None, outputs=[replace(output, file=0) for output in model.outputs]
    )
