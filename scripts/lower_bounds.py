#!/usr/bin/env python3
"""Print pip constraints that pin every runtime dependency to its lower bound in pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def main() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"] + project["optional-dependencies"]["fast"]:
        name, bound = requirement.split(">=")
        print(f"{name}=={bound}")


if __name__ == "__main__":
    main()
