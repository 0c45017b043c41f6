"""The reports of a conversion, next to its files: a page for people, and the same as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from quantize import __version__
from quantize.api import Converted
from quantize.cli.events.base import plain
from quantize.cli.html.page import page
from quantize.cli.views.comparison_events import compare_events
from quantize.storage.sink import write_text
from quantize.verbs.common.comparison import Comparison

# Raised when a reader of older reports would misunderstand a new one.
_SCHEMA = 1


def report_paths(file: Path) -> tuple[Path, Path]:
    """Where the page and the JSON of a GGUF file are."""
    return file.with_name(f"{file.stem}.report.html"), file.with_name(f"{file.stem}.report.json")


def write_reports(done: Converted) -> None:
    """Raises DiskError."""
    for file, found in zip(done.files, done.reports, strict=bool(done.reports)):
        html, document = report_paths(file.path)
        write_text(html, page(found))
        write_text(document, report_json(found))


def report_json(found: Comparison) -> str:
    """The events of `compare --json` as one document, each kind of them under its name."""
    document: dict[str, object] = {"schema": _SCHEMA, "version": __version__}
    lists: dict[str, list[dict[str, object]]] = {
        "kv_difference": [], "quality": [], "quality_total": []
    }  # fmt: skip
    for event in compare_events(found, None):
        entry = dict(event)
        kind = str(entry.pop("event"))
        if kind == "side":
            document[str(entry.pop("role"))] = entry
        elif kind in lists:
            lists[kind].append(entry)
    document |= {
        "kv_differences": lists["kv_difference"],
        "tensors": lists["quality"],
        "totals": lists["quality_total"],
    }
    return json.dumps(plain(document), indent=1, allow_nan=False) + "\n"
