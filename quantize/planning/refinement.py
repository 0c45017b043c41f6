"""What --refine asks for, and what the files say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quantize.architectures.readers import Reader, readers
from quantize.errors import UnsupportedError, UsageError
from quantize.formats.kv import KV, KeyValues, f32, string, u32
from quantize.options.refine import Refine, RefineOptions
from quantize.planning.model import Model
from quantize.planning.plan import Plan, PlannedTensor
from quantize.quantizers.grids import GRIDS
from quantize.storage.calibration_text import text_file, text_name
from quantize.storage.local import sha256_of
from quantize.tensors import GGML_TYPES

EMBEDDING = "token_embd.weight"
OUTPUT = "output.weight"
OUTPUT_NORM = "output_norm.weight"

# Raised when the same options give other bytes.
VERSION = 1
_KIND = "quantize.refine.kind"
_VERSION = "quantize.refine.version"
_SWEEPS = "quantize.refine.sweeps"
EMBEDDING_DAMPING = 0.05
DAMPING = 0.01


@dataclass(frozen=True, slots=True)
class Refinement:
    """How a model is refined: `kind` is the option's word.

    `text` and `text_sha256` are of the text that the inputs of the matrices come of.
    """

    kind: str
    sweeps: int
    text: str | None = None
    text_sha256: str | None = None

    @property
    def is_full(self) -> bool:
        return self.kind == Refine.FULL

    def record(self) -> dict[str, Any]:
        """As the manifest has it."""
        known = {"kind": self.kind, "sweeps": self.sweeps, "version": VERSION}
        if self.is_full:
            known |= {"text": self.text, "text_sha256": self.text_sha256, "damping": DAMPING}
        return known

    def key_values(self) -> tuple[KV, ...]:
        return (
            string(_KIND, self.kind),
            u32(_VERSION, VERSION),
            u32(_SWEEPS, self.sweeps),
            f32("quantize.refine.embedding_damping", EMBEDDING_DAMPING),
            *self._of_text(),
        )

    def _of_text(self) -> Iterator[KV]:
        if self.text is not None and self.text_sha256 is not None:
            yield f32("quantize.refine.damping", DAMPING)
            yield string("quantize.refine.text", self.text)
            yield string("quantize.refine.text_sha256", self.text_sha256)


def refinement_of(options: RefineOptions) -> Refinement | None:
    """What the options ask for. Raises UsageError for `full` without a text."""
    if options.refine is None:
        return None
    if options.refine != Refine.FULL:
        return Refinement(options.refine, options.sweeps)
    if options.calibrate is None:
        raise UsageError(
            "refine-without-text",
            "what goes into the matrices is found out with a text",
            where="--refine full",
            hint="--calibrate FILE, or --refine embedding, which needs no text",
        )
    file = text_file(options.calibrate)
    sha256 = sha256_of(file) if file.is_file() else None
    return Refinement(options.refine, options.sweeps, text_name(options.calibrate), sha256)


def announced(model: Model, refinement: Refinement) -> Model:
    """The model with key-values that say how it is refined.

    Raises UnsupportedError for a model whose readers of the embedding are not known.
    """
    readers_of(model.arch, [output.name for output in model.outputs])
    added = KeyValues(model.added).with_last(refinement.key_values())
    return replace(model, added=added)


def readers_of(arch: str, names: Sequence[str]) -> tuple[Reader, ...]:
    """The matrices that read the token embedding. Raises UnsupportedError where there are none."""
    found = readers(frozenset(names))
    if not found or EMBEDDING not in names:
        raise UnsupportedError(
            "unknown-readers",
            "which matrices read the token embedding is not known",
            where=arch,
            reason="a block has no attn_norm and matrices behind it with llama.cpp's usual names",
            hint="leave out --refine",
        )
    return found


def refines(tensor: PlannedTensor) -> bool:
    """Whether codes can be chosen for it: its type has a grid, and its values are not copied."""
    return tensor.type in GRIDS and not tensor.repacked


def notes_on_refinement(plan: Plan, refinement: Refinement) -> tuple[str, ...]:
    """What a person should know of a plan that is to be refined."""
    return tuple(
        f"refine: {tensor.name} is {tensor.type} in {plan.recipe_name}, which is not refined"
        for tensor in plan.tensors
        if (tensor.name == EMBEDDING or refinement.is_full)
        and not refines(tensor)
        and GGML_TYPES[tensor.type].block_size > 1
    )


def recorded_refinement(kvs: KeyValues) -> str | None:
    """What these key-values say of a refinement, in words."""
    kind = kvs.value(_KIND)
    if kind is None:
        return None
    text = kvs.value("quantize.refine.text")
    return f"--refine {kind}" if text is None else f"--refine {kind}, with the text `{text}`"


def is_refined_with_text(kvs: KeyValues) -> bool:
    """Whether a text took part, which the file only names."""
    return bool(kvs.value(_KIND) == Refine.FULL)


def recorded_options(kvs: KeyValues) -> dict[str, Any] | None:
    """The options that such key-values come of; None without them.

    Raises ValueError for what another version made.
    """
    kind = kvs.value(_KIND)
    if kind is None:
        return None
    version = kvs.value(_VERSION)
    if kind not in list(Refine) or version != VERSION:
        raise ValueError(f"--refine {kind}, version {version}, is not known here")
    return {"refine": kind, "sweeps": kvs.value(_SWEEPS)}
