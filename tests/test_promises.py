"""docs/security.md and docs/faults.md promise nothing that no test shows."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.paths import ROOT

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize("page", ["security.md", "faults.md"])
def test_every_row_names_a_test_that_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows
    for row in rows:
        found = _TEST.fullmatch(row.rstrip("| ").rpartition("| ")[2])
        assert found, f"no test is named: {row}"
        tree = ast.parse((ROOT / found[1]).read_text("utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert found[2] in names, row
