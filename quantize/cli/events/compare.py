"""What `compare --json` prints; see events.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict


class SideEvent(TypedDict):
    """One of two sides that are compared."""

    event: Literal["side"]
    role: Annotated[str, "reference or other"]
    name: str
    location: str
    kind: Annotated[str, "checkpoint or gguf"]
    arch: str
    tensors: int
    n_params: int
    nbytes: Annotated[int, "bytes of its tensors"]
    bits_per_weight: float
    nbytes_by_type: Annotated[dict[str, int], "ggml types, dtypes, or names of encodings"]


class KVDifferenceEvent(TypedDict):
    """A key-value that differs, or that one side lacks: its type there is null."""

    event: Literal["kv_difference"]
    key: str
    reference_type: Annotated[str | None, "GGUF's value type"]
    type: Annotated[str | None, "the other side's"]
    reference: Annotated[Any, "the value; of an array at most 16 entries, from `first` on"]
    other: Annotated[Any, "likewise"]
    reference_length: Annotated[int | None, "entries of an array"]
    length: Annotated[int | None, "the other side's"]
    first: Annotated[int | None, "where two arrays, or two strings, begin to differ"]


class TensorDifferenceEvent(TypedDict):
    """A tensor of another shape, or that one side lacks: its shape there is null."""

    event: Literal["tensor_difference"]
    name: str
    reference: list[int] | None
    other: list[int] | None


class Measures(TypedDict):
    """How far values are from the reference, over all that are finite on both sides."""

    relative_rms: Annotated[
        float | None, "root mean square of the error over the reference's; null: it is all zeros"
    ]
    snr_db: Annotated[float | None, "signal-to-noise ratio in decibels; null: no error or signal"]
    cosine: Annotated[float, "of the angle between both"]
    largest: Annotated[float, "the largest absolute error"]
    exact: Annotated[bool, "whether all measured values are finite and the same"]
    weights_measured: Annotated[int, "how many weights stand for all: fewer than all in a report"]
    reference_not_finite: Annotated[int, "values of the reference that are NaN or infinite"]
    not_finite: Annotated[int, "the other side's"]


class QualityEvent(Measures):
    """A tensor of both sides, in the order of the reference."""

    event: Literal["quality"]
    name: str
    shape: list[int]
    reference_type: Annotated[str, "a ggml type, a dtype, or the name of an encoding"]
    type: Annotated[str, "the other side's"]
    layer: Annotated[int | None, "the number of its block, if it is in one"]
    kind: Annotated[str, "its name without the block"]


class QualityTotalEvent(Measures):
    """Several tensors as one."""

    event: Literal["quality_total"]
    by: Annotated[str, "type, kind, layer or all"]
    of: Annotated[str, "which type, kind or layer"]
    tensors: int
    n_params: int


class ReportEvent(Measures):
    """What a file lost, as `convert --report` has measured it."""

    event: Literal["report"]
    path: Annotated[str, "the GGUF file"]
    n_params: int
    html: Annotated[str, "the page"]
    json: Annotated[str, "the same as JSON: what `compare --json` prints, as one document"]


class ComparisonEvent(TypedDict):
    """The end of `compare`."""

    event: Literal["comparison"]
    kv_differences: int
    tensor_differences: int
    comparable: Annotated[int, "tensors of one name and shape on both sides"]
    measured: Annotated[int, "how many of them were measured: all, or --sample"]
    html: Annotated[str | None, "the page, if one was written"]
