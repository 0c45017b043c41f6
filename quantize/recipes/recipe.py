"""A recipe: everything that decides the types of one file's tensors, and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from quantize.errors import UsageError
from quantize.recipes.ftypes import FileType, file_type
from quantize.recipes.steering import UNSTEERED, Steering

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Recipe:
    """`mix` chooses, but for what `steering` says. `name` becomes a part of the file's name.

    `id` is the value of general.file_type. `digest` is the SHA-256 of the recipe file that it was
    read from, if it was.
    """

    name: str
    id: int
    mix: FileType
    steering: Steering = UNSTEERED
    digest: str | None = None

    def steered(self, steering: Steering) -> Recipe:
        """The same with `steering` where it says nothing itself."""
        return replace(self, steering=self.steering.over(steering))

    @property
    def is_plain(self) -> bool:
        """Whether its name says everything."""
        return self == plain(self.mix)


def plain(mix: FileType | str) -> Recipe:
    """A file type and nothing else. Raises UnsupportedError if there is none of that name."""
    found = file_type(mix) if isinstance(mix, str) else mix
    return Recipe(found.name, found.id, found)


def check_name(name: str, where: str) -> str:
    """`name`, which is to be a part of a file's name. Raises UsageError."""
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        "bad-recipe-name",
        f"{name!r} cannot be a part of a file's name",
        where=where,
        hint="letters, digits, points, hyphens and underscores, such as Q5_K_L",
    )
