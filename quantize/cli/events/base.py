"""What --json prints: one of these objects a line, told apart by `event`.

The annotations are the documentation (docs/cli.md is made from them) and the schema of the tests.
Fields may be added to an event; what is there keeps its name and meaning.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, TypedDict

from quantize.cli.events.compare import (
    ComparisonEvent,
    KVDifferenceEvent,
    QualityEvent,
    QualityTotalEvent,
    ReportEvent,
    SideEvent,
    TensorDifferenceEvent,
)
from quantize.cli.events.imatrix import ImatrixEvent, ImportanceEvent
from quantize.cli.events.perplexity import DivergenceEvent, PerplexityEvent

NBytes = Annotated[int, "bytes"]


class StartEvent(TypedDict):
    """A stage of work begins."""

    event: Literal["start"]
    stage: str
    total: Annotated[int, "bytes that the stage will process"]


class ProgressEvent(TypedDict):
    """A stage goes on. At most two a second for each stage: a download has its own."""

    event: Literal["progress"]
    stage: str
    done: NBytes
    total: NBytes
    item: Annotated[str, "the tensor or file at work"]


class NoteEvent(TypedDict):
    """Something worth telling a person."""

    event: Literal["note"]
    text: str


class FinishEvent(TypedDict):
    """A stage is over, by success."""

    event: Literal["finish"]
    stage: str
    done: NBytes


class FileEvent(TypedDict):
    """A GGUF file that `convert` wrote."""

    event: Literal["file"]
    path: str
    type: str
    size: NBytes
    bits_per_weight: float
    sha256: str


class ConvertedEvent(TypedDict):
    """The end of `convert`."""

    event: Literal["converted"]
    name: str
    modelfiles: list[str]
    manifest: str
    seconds: float
    kernels: Annotated[str, "which implementation of the kernels ran"]


class PlannedTensorEntry(TypedDict):
    """One tensor of a plan."""

    name: str
    shape: Annotated[list[int], "rows first, as NumPy writes shapes"]
    type: str
    reason: str
    file: str
    offset: Annotated[int, "bytes from the start of the file"]
    nbytes: int


class PlanEvent(TypedDict):
    """An output that would be written, in one file or several."""

    event: Literal["plan"]
    name: str
    arch: str
    type: str
    file: Annotated[str, "the first file"]
    size: Annotated[int, "bytes of all files, exactly"]
    files: Annotated[dict[str, int], "all of them, with their sizes"]
    n_params: int
    bits_per_weight: float
    nbytes_by_type: dict[str, int]
    digest: str
    tensors: list[PlannedTensorEntry]


class NeedsEvent(TypedDict):
    """What the whole run takes."""

    event: Literal["needs"]
    source: Annotated[int, "bytes to read"]
    downloads: Annotated[dict[str, int], "files that are not in the Hub's cache, with their sizes"]
    memory: NBytes
    disk: NBytes


class SizeEvent(TypedDict):
    """What a file of one type would be; the best type comes first."""

    event: Literal["size"]
    type: str
    size: Annotated[int, "bytes of the file, exactly"]
    bits_per_weight: float
    memory: Annotated[int, "bytes of the weights and the context"]
    seconds: Annotated[float, "of quantizing on this machine, about"]


class FitsEvent(TypedDict):
    """The best type that --fits has room for."""

    event: Literal["fits"]
    type: str
    memory: NBytes
    limit: NBytes


class OverviewEvent(TypedDict):
    """The model that the sizes are of."""

    event: Literal["overview"]
    name: str
    arch: str
    n_params: int
    repo: Annotated[str | None, "of the Hub"]
    commit: str | None
    source: Annotated[int, "bytes to read"]
    downloads: Annotated[dict[str, int], "files that are not in the Hub's cache, with their sizes"]
    context: Annotated[int, "tokens that the memory is for"]
    context_memory: NBytes


class VerifiedEvent(TypedDict):
    """The file is fine."""

    event: Literal["verified"]
    path: str
    tensors: int
    by_manifest: Annotated[bool, "whether a manifest is next to the file"]
    compared: Annotated[int | None, "tensors that were made again from the source"]
    doubts: Annotated[list[str], "what loads, and will not do what the model was made for"]


class PushedEvent(TypedDict):
    """Files are on the Hub."""

    event: Literal["pushed"]
    repo: str
    commit: str
    url: str
    uploaded: list[str]
    unchanged: Annotated[list[str], "files that were there before"]


class InspectionEvent(TypedDict):
    """What `inspect` found; its key-values and tensors follow."""

    event: Literal["inspection"]
    kind: Annotated[str, "checkpoint or gguf"]
    name: str
    arch: str
    kvs: Annotated[int, "how many follow"]
    tensors: Annotated[int, "how many follow"]


class KVEvent(TypedDict):
    """One key-value."""

    event: Literal["kv"]
    key: str
    type: Annotated[str, "GGUF's value type"]
    value: Annotated[Any, "a number that JSON lacks is a string: NaN, Infinity, -Infinity"]


class TensorEvent(TypedDict):
    """One tensor as it is stored."""

    event: Literal["tensor"]
    name: str
    shape: list[int]
    type: str
    nbytes: int


class TypeEvent(TypedDict):
    """A type that --type takes."""

    event: Literal["type"]
    name: str
    id: Annotated[int, "general.file_type"]
    description: str
    aliases: list[str]


class ArchitectureEvent(TypedDict):
    """An architecture that can be converted."""

    event: Literal["architecture"]
    name: Annotated[str, "as config.json has it"]
    arch: Annotated[str, "as GGUF has it"]
    status: Annotated[str, "verified: files of it are compared with llama.cpp's own"]


class ModelfileEvent(TypedDict):
    """A Modelfile."""

    event: Literal["modelfile"]
    path: Annotated[str | None, "null if it was only to be printed"]
    text: str


class FindingEvent(TypedDict):
    """What one check of `doctor` found."""

    event: Literal["finding"]
    level: Annotated[str, "fine, warning or error"]
    check: str
    message: str
    remedy: str


class CreatedEvent(TypedDict):
    """A model that was made in Ollama, as the server reports it."""

    event: Literal["created"]
    name: str
    server: str
    capabilities: list[str]
    context_length: int | None
    quantization: str
    differences: Annotated[list[dict[str, str]], "what differs, as it was meant and is reported"]


class ErrorEvent(TypedDict):
    """The last line of a command that failed. stderr has the same for people."""

    event: Literal["error"]
    code: Annotated[str, "a stable name, see docs/errors.md"]
    message: str
    where: str | None
    reason: str | None
    hint: str | None
    exit_code: int


class InterruptedEvent(TypedDict):
    """The last line of a command that was interrupted."""

    event: Literal["interrupted"]


Event = (
    StartEvent
    | ProgressEvent
    | NoteEvent
    | FinishEvent
    | FileEvent
    | ReportEvent
    | ConvertedEvent
    | PlanEvent
    | NeedsEvent
    | SizeEvent
    | FitsEvent
    | OverviewEvent
    | VerifiedEvent
    | SideEvent
    | KVDifferenceEvent
    | TensorDifferenceEvent
    | QualityEvent
    | QualityTotalEvent
    | ComparisonEvent
    | PerplexityEvent
    | DivergenceEvent
    | PushedEvent
    | InspectionEvent
    | KVEvent
    | TensorEvent
    | ImatrixEvent
    | ImportanceEvent
    | TypeEvent
    | ArchitectureEvent
    | ModelfileEvent
    | FindingEvent
    | CreatedEvent
    | ErrorEvent
    | InterruptedEvent
)


def json_line(event: Event) -> str:
    return json.dumps(plain(event), allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """As JSON has it: bytes that are no UTF-8 keep a trace of each byte."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
