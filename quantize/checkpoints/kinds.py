"""The kinds of sources, told apart by `kind`."""

from __future__ import annotations

from typing import TypeAlias

from quantize.checkpoints.adapters.alone import LoneAdapter
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.checkpoints.gguf_file import GGUFFile

AnySource: TypeAlias = Checkpoint | GGUFFile | LoneAdapter
