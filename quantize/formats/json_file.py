"""JSON files that nobody vouches for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from quantize.errors import CheckpointError

Pairs = list[tuple[str, Any]]


def parse_json(
    data: bytes, where: str, *, object_of: Callable[[Pairs], dict[str, Any]] | None = None
) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark.

    `object_of` makes each object of its keys and values. Raises CheckpointError("bad-json").
    """
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=object_of)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            "bad-json",
            "not valid JSON",
            where=where,
            reason=str(error),
            hint="download the file again",
        ) from error
