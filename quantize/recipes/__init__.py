"""Which tensor gets which ggml type, and why: llama-quantize's mixes as data.

Pure: names, shapes and a few facts of the model go in, types and reasons come out.
"""

from __future__ import annotations

from quantize.recipes.choosing import Choice, choose
from quantize.recipes.facts import ModelFacts
from quantize.recipes.ftypes import FTYPES, FileType, file_type

__all__ = ["FTYPES", "Choice", "FileType", "ModelFacts", "choose", "file_type"]
