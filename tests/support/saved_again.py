"""Checkpoints of the kit as other programs would have saved them: tensors renamed or left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# A tensor of any dtype: its dtype, its shape, its bytes.
Stored = tuple[str, list[int], bytes]


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
    renamed = ((new_name(old), tensor) for old, tensor in read_tensors(file).items())
    write_tensors(file, {name: tensor for name, tensor in renamed if name is not None})


def read_tensors(file: Path) -> dict[str, Stored]:
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    body = memoryview(raw)[start:]
    return {
        name: (entry["dtype"], entry["shape"], bytes(body[slice(*entry["data_offsets"])]))
        for name, entry in header.items()
    }


def write_tensors(file: Path, tensors: Mapping[str, Stored]) -> None:
    header: dict[str, Any] = {}
    end = 0
    for name, (dtype, shape, data) in tensors.items():
        offsets = [end, end + len(data)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        end += len(data)
    text = json.dumps(header).encode()
    body = b"".join(data for _, _, data in tensors.values())
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)
