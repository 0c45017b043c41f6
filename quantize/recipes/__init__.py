"""Which tensor gets which ggml type, and why: llama-quantize's mixes as data, and what steers them.

Pure: names, shapes and a few facts of the model go in, types and reasons come out.
"""

from __future__ import annotations

from quantize.recipes.choosing import Choice, Tensor, choose
from quantize.recipes.facts import ModelFacts
from quantize.recipes.ftypes import FTYPES, FileType, file_type, file_type_of_id
from quantize.recipes.recipe import Recipe, plain
from quantize.recipes.steering import UNSTEERED, Steering, TypeRule

__all__ = [
    "FTYPES",
    "UNSTEERED",
    "Choice",
    "FileType",
    "ModelFacts",
    "Recipe",
    "Steering",
    "Tensor",
    "TypeRule",
    "choose",
    "file_type",
    "file_type_of_id",
    "plain",
]
