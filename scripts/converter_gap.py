#!/usr/bin/env python3
"""Print the text architectures that llama.cpp's converter knows and quantize does not.

    python scripts/converter_gap.py [SDIST]

SDIST is a source archive of xllamacpp, which holds the converter; without it pip downloads the
newest one. The converter is read as text and never run. Three lists are printed: the missing names
with the converter's module of each, names that only quantize knows, and how many both know.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from quantize.architectures import ARCHITECTURES

CONVERTER = "conversion/__init__.py"
TABLE = "TEXT_MODEL_MAP"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sdist", type=Path, nargs="?")
    given: Path | None = parser.parse_args().sdist
    with tempfile.TemporaryDirectory() as folder:
        sdist = given or download(Path(folder))
        known = text_names(converter(sdist))
        print(report(sdist.name, known, set(ARCHITECTURES)))


def download(folder: Path) -> Path:
    """The newest source archive of xllamacpp, in `folder`."""
    wanted = ["--no-deps", "--no-binary", "xllamacpp", "--dest", str(folder), "xllamacpp"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", *wanted]
    subprocess.run(pip, check=True)  # noqa: S603 - our own interpreter
    return next(folder.glob("xllamacpp-*.tar.gz"))


def converter(sdist: Path) -> str:
    """The source text of the converter's list of models. Exits where the archive has none."""
    with tarfile.open(sdist) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(CONVERTER) else None
            if file is not None:
                return file.read().decode("utf-8")
    raise SystemExit(f"{sdist} has no {CONVERTER}: the converter has moved, change CONVERTER here")


def text_names(source: str) -> dict[str, str]:
    """Architecture to the converter's module. Exits where the text has no such table."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == TABLE:
            assert statement.value is not None
            table: dict[str, str] = ast.literal_eval(statement.value)
            return table
    raise SystemExit(f"{CONVERTER} has no {TABLE}: the converter has changed, change TABLE here")


def report(title: str, theirs: Mapping[str, str], ours: set[str]) -> str:
    """The three lists as text."""
    missing = sorted(theirs.keys() - ours, key=lambda name: (theirs[name], name))
    lines = [f"{title}: {len(theirs)} text architectures, {len(missing)} of them not in quantize"]
    lines += [f"  {theirs[name]:<16} {name}" for name in missing]
    lines += ["Only in quantize:", *(f"  {name}" for name in sorted(ours - theirs.keys()))]
    return "\n".join([*lines, f"In both: {len(theirs.keys() & ours)}"])


if __name__ == "__main__":
    main()
