"""The cousins: checkpoints of architectures that the kit has no model of, each a kit of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Verdict, kit_module, materialized, prepared, unpacked, verdict
from tests.support.paths import DATA

COUSINS = tuple(
    sorted(path.name.removesuffix(".tar.xz") for path in (DATA / "cousins").glob("*.tar.xz"))
)


@dataclass(frozen=True, slots=True)
class Cousin:
    """`checkpoint`: a Hugging Face folder. `expected`: what llama.cpp makes of it."""

    checkpoint: Path
    expected: Path
    kit: Path

    @property
    def architecture(self) -> str:
        content: dict[str, Any] = json.loads(self.expected.read_text("utf-8"))
        return str(content["architecture"])

    def check(self, file: Path, type: str) -> Verdict:
        return verdict(kit_module(self.kit, "check"), self.expected, file, type)


@pytest.fixture(scope="session")
def cousin(
    pytestconfig: pytest.Config, conformance_data: Path, kit: Path
) -> Callable[[str], Cousin]:
    """The cousin of a name, written out on first use."""

    def of(name: str) -> Cousin:
        own = unpacked(pytestconfig, f"cousins/{name}")

        def fill(folder: Path) -> None:
            (folder / "models").symlink_to(own / "models")
            (folder / "tokenizers").symlink_to(kit / "tokenizers")

        whole = prepared(conformance_data / "cousins" / own.name, fill)
        folder = materialized(kit, whole, name, whole / "checkpoints")
        return Cousin(folder, own / "expected" / f"{name}.json", kit)

    return of
