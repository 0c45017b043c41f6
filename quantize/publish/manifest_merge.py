"""What an earlier conversion left in the folder: another type of a model does not undo its record.

A manifest has one source and one set of options. So records of files that were made from something
else, or otherwise, give way to the new ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantize.publish.manifest import as_text

_OF_OUTPUTS = ("types", "recipes")  # options that each output has for itself


def with_earlier(text: str, path: Path) -> str:
    """The manifest `text`, which is to be written to `path`, and what stays of the one there.

    These are the outputs that are not made again, from the same source by the same version with the
    same options, whose files are still there. A manifest that cannot be read is as good as none.
    """
    new = json.loads(text)
    try:
        earlier = json.loads(path.read_bytes())
        made = {output["file"] for output in new["outputs"]}
        kept = [
            output
            for output in earlier["outputs"]
            if output["file"] not in made and _is_there(path.parent, output)
        ]
        if not kept or _shared(earlier) != _shared(new):
            return text
        old, options = earlier["options"], new["options"]
        types = dict.fromkeys(output["type"] for output in kept)
        recipes = {
            name: recipe for name, recipe in old.get("recipes", {}).items() if name in types
        } | options.get("recipes", {})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return text
    new["options"] |= {
        "types": list(types | dict.fromkeys(options["types"])),
        "recipes": recipes or None,
    }
    return as_text(new | {"outputs": [*kept, *new["outputs"]]})


def _shared(document: Mapping[str, Any]) -> dict[str, Any]:
    """What all outputs of a manifest have in common."""
    options = {key: value for key, value in document["options"].items() if key not in _OF_OUTPUTS}
    return {**document, "options": options, "outputs": None}


def _is_there(folder: Path, output: Mapping[str, Any]) -> bool:
    name = output["file"]
    path = folder / name
    return path.name == name and path.is_file() and bool(path.stat().st_size == output["size"])
