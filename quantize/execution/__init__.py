"""From a Plan to files: tasks on every core, bounded memory, and a journal to continue from."""

from __future__ import annotations

from quantize.execution.engine import run
from quantize.execution.memory import Needs, needs_of
from quantize.execution.written import Shard, Written

__all__ = ["Needs", "Shard", "Written", "needs_of", "run"]
