"""What an importance matrix says."""

from __future__ import annotations

from pathlib import Path

from quantize.formats.imatrix_files import read_imatrix
from quantize.formats.imatrix_summary import Summary, summarize


def imatrix(file: Path) -> Summary:
    """What an importance matrix says of the columns of a model's tensors."""
    return summarize(read_imatrix(file))
