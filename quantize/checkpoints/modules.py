"""Which stored tensors belong together: those of a module, by the ends of their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from quantize.checkpoints.base import Weight
from quantize.checkpoints.layouts.plain import plain_weight
from quantize.errors import CheckpointError
from quantize.tensors import DTYPE_SIZES, Shape, StoredTensor

# Read by programs that quantize activations or the key-value cache as well; no weights.
ACTIVATIONS = (
    ".input_scale", ".input_zero_point", ".input_global_scale", ".activation_scale",
    ".output_scale", ".k_scale", ".v_scale", ".q_scale", ".prob_output_scale",
)  # fmt: skip


class Modules:
    """The stored tensors of a checkpoint, taken one by one.

    A name is a module's name and an `end` like ".qweight". What is left when all parts have been
    taken is stored plainly.
    """

    def __init__(self, stored: Mapping[str, StoredTensor]) -> None:
        self._left = dict(stored)

    def having(self, end: str, dtypes: Collection[str] = DTYPE_SIZES) -> list[str]:
        """Names of the modules that have such a tensor."""
        return [
            name.removesuffix(end)
            for name, tensor in self._left.items()
            if name.endswith(end) and tensor.dtype in dtypes
        ]

    def take(self, module: str, *ends: str) -> StoredTensor | None:
        """The tensor with the first of `ends` that the module has; None if it has none of them."""
        for end in ends:
            if module + end in self._left:
                return self._left.pop(module + end)
        return None

    def need(self, module: str, *ends: str) -> StoredTensor:
        """Like `take`. Raises CheckpointError("missing-part") in place of None."""
        found = self.take(module, *ends)
        if found is None:
            raise CheckpointError(
                "missing-part",
                f"there is no {' or '.join(module + end for end in ends)}",
                where=module,
                reason="the module's weight is quantized and cannot be decoded without it",
                hint="download the checkpoint again; a part may be in any of its files",
            )
        return found

    def plain(self, drop: Collection[str] = ()) -> dict[str, Weight]:
        """What was not taken, but for tensors whose names end in one of `drop`."""
        return {
            name: plain_weight(tensor)
            for name, tensor in self._left.items()
            if not name.endswith(tuple(drop))
        }


def check_matrix(tensor: StoredTensor, dtypes: Collection[str]) -> StoredTensor:
    """The tensor itself. Raises CheckpointError("bad-part") unless it is a matrix, not empty."""
    if tensor.dtype in dtypes and len(tensor.shape) == 2 and all(tensor.shape):
        return tensor
    raise CheckpointError(
        "bad-part",
        f"{tensor.dtype} {list(tensor.shape)} where a matrix of {'/'.join(dtypes)} belongs",
        where=f"{tensor.file}:{tensor.name}",
        reason="it holds the codes of a weight, or their scales",
        hint="download config.json and the weights from the same revision",
    )


def check_part(tensor: StoredTensor, dtypes: Collection[str], *shapes: Shape) -> StoredTensor:
    """The tensor itself. Raises CheckpointError("bad-part") unless it has one of `shapes`."""
    if tensor.dtype not in dtypes or (shapes and tensor.shape not in shapes):
        wanted = " or ".join(f"{'/'.join(dtypes)} {list(shape)}" for shape in shapes or ((),))
        raise CheckpointError(
            "bad-part",
            f"{tensor.dtype} {list(tensor.shape)} where {wanted} belongs",
            where=f"{tensor.file}:{tensor.name}",
            reason="the parts of a weight, or quantization_config, contradict each other",
            hint="download config.json and the weights from the same revision",
        )
    return tensor
