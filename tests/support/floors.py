"""The floors of the package: which room may import which. docs/architecture.md shows them."""

from __future__ import annotations

# From the lowest up. A room is a folder or a module; what is in it belongs to the nearest room
# named here. A room imports lower floors only; rooms on one floor do not know each other.
FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(floor.split())
    for floor in (
        "errors",
        "progress units",
        "registry tensors arrays options",
        "storage kernels",
        "storage.hub formats quantizers",
        "transforms",
        "checkpoints architectures vocab recipes",
        "architectures.families",
        "planning",
        "sources",
        "execution",
        "measuring verifying refining",
        "ollama publish evaluation",
        "ollama.templates",
        "ollama.modelfile",
        "ollama.server",
        "ollama.doctor",
        "verbs.common",
        "verbs",
        "api",
        "cli",
        "__main__",
    )
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
