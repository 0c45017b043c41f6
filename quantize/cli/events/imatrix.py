"""What `imatrix --json` prints; see events.py."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict


class ImatrixEvent(TypedDict):
    """An importance matrix; its tensors follow."""

    event: Literal["imatrix"]
    path: str
    sha256: str
    format: Annotated[str, "GGUF or dat"]
    tensors: Annotated[int, "how many follow"]
    chunks: Annotated[int, "of the calibration text; 0 where the file does not tell"]
    chunk_size: Annotated[int, "tokens; 0 where the file does not tell"]
    datasets: list[str]
    columns: int
    active: Annotated[int, "columns that were seen and have an importance above zero"]
    experts: Annotated[int, "matrices of experts"]
    unseen: Annotated[int, "of those, without a single token"]


class ImportantColumn(TypedDict):
    """A column of a tensor."""

    expert: Annotated[int | None, "in a stack of experts"]
    column: int
    importance: float


class ImportanceEvent(TypedDict):
    """What the matrix says of one tensor: means of the squared inputs of its columns."""

    event: Literal["importance"]
    name: str
    columns: int
    active: int
    counts: Annotated[list[int], "tokens (GGUF) or chunks (dat), for each expert"]
    mean: float
    most: Annotated[list[ImportantColumn], "expert, column and importance of the largest"]
    least: Annotated[list[ImportantColumn], "of the smallest"]
