#!/usr/bin/env python3
"""Convert every kit model to every type and print a table of check.py's verdicts.

    python scripts/conformance.py [NAME ...] [--types F16,Q4_K_M] [--strict] [--kit DIR]

A cell is "same file" where the whole file has llama.cpp's SHA-256, "ok" where check.py passes,
else the number of differences, which follow below the table. Exit code 1 if anything fails.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from quantize import api
from quantize.errors import QuantizeError

TYPES = "F32,F16,BF16,Q8_0,Q4_K_S,Q4_K_M"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--types", default=TYPES)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--kit", type=Path, default=Path("../shared/conformance"))
    arguments = parser.parse_args()
    types = tuple(arguments.types.split(","))
    names = arguments.names or sorted(path.name for path in (arguments.kit / "models").iterdir())
    materialize = _program(arguments.kit, "materialize")
    judge = _program(arguments.kit, "check")

    table = Table("model", *types)
    problems: list[str] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            source = materialize.materialize(str(arguments.kit), name, folder)
            cells = []
            try:
                options = api.Options(types=types, output=Path(folder), strict_parity=True)
                files = api.convert(source, options).files
            except QuantizeError as error:
                cells = [f"[red]{error.code}"] * len(types)
                problems.append(f"{name}: {error}\n  {error.reason}")
                files = ()
            for file in files:
                expected = arguments.kit / "expected" / f"{name}.json"
                command = ["check.py", str(expected), str(file.path), "--type", file.type]
                code, output = _judge(judge, command + ["--strict"] * arguments.strict)
                identical = "file identical" in output
                cells.append("same file" if identical else "ok" if code == 0 else "[red]differs")
                if code:
                    problems.append(output.rstrip())
        table.add_row(name, *cells)
    console = Console()
    console.print(table)
    for problem in problems:
        console.print(problem, markup=False, highlight=False)
    return 1 if problems else 0


def _program(kit: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, kit / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _judge(judge: ModuleType, command: list[str]) -> tuple[int, str]:
    output = io.StringIO()
    saved, sys.argv = sys.argv, command
    try:
        with contextlib.redirect_stdout(output):
            code: int = judge.main()
    finally:
        sys.argv = saved
    return code, output.getvalue()


if __name__ == "__main__":
    sys.exit(main())
