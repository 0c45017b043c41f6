"""The texts that a person names to calibrate with; `default` is one that comes along.

It is prose in a dozen languages, conversations, code, sums and structured data, written for this
project and under its license. scripts/write_calibration_text.py puts it together.
"""

from __future__ import annotations

from pathlib import Path

DEFAULT = "default"
_FILE = "calibration.txt"


def text_file(named: str | Path) -> Path:
    """The file of a text, which need not be there."""
    return Path(__file__).with_name(_FILE) if str(named) == DEFAULT else Path(named)


def text_name(named: str | Path) -> str:
    """What the key-values call it."""
    return DEFAULT if str(named) == DEFAULT else Path(named).name
