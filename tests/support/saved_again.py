"""Checkpoints of the kit as other programs would have saved them: tensors renamed or left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def copied(checkpoint: Path, parent: Path) -> Path:
    """A copy of a checkpoint in a folder of the same name, to be changed."""
    return Path(shutil.copytree(checkpoint, parent / checkpoint.name))


def edit_json(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(content), "utf-8")


def rename_tensors(folder: Path, new_name: Callable[[str], str | None]) -> None:
    """Save the one weight file again under other names; a tensor whose new name is None goes."""
    file = folder / "model.safetensors"
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    written: dict[str, Any] = {}
    data = b""
    for old, entry in header.items():
        name = None if old == "__metadata__" else new_name(old)
        if name is None:
            continue
        first, end = (start + offset for offset in entry["data_offsets"])
        written[name] = {**entry, "data_offsets": [len(data), len(data) + end - first]}
        data += raw[first:end]
    text = json.dumps(written).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
