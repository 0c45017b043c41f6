"""The one look of all tables, and rows that are alike in all blocks as one row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from quantize.tensors import Shape

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class TableRow(Protocol):
    """A tensor as a plan or a file lists it."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def type(self) -> str: ...
    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Tensors that differ in their numbers only, or a lone one, which has no `numbers` here."""

    pattern: str
    shape: Shape
    type: str
    nbytes: int
    numbers: tuple[tuple[int, ...], ...]

    @property
    def blocks(self) -> str:
        """Such as "0-3, 6", or how many where a name has two numbers, of blocks and experts."""
        if not self.numbers:
            return ""
        if len(self.numbers[0]) == 1:
            return ranges(number for (number,) in self.numbers)
        return f"{len(self.numbers)} of them"


def grouped(tensors: Iterable[TableRow]) -> list[RowGroup]:
    """Tensors of one kind of name, shape and type together, in order of first appearance."""
    found: dict[tuple[str, Shape, str], list[TableRow]] = {}
    for tensor in tensors:
        pattern = _NUMBER.sub("*", tensor.name)
        found.setdefault((pattern, tensor.shape, tensor.type), []).append(tensor)
    return [
        RowGroup(
            pattern if len(members) > 1 else members[0].name,
            shape,
            kind,
            sum(member.nbytes for member in members),
            tuple(_numbers(member.name) for member in members) if len(members) > 1 else (),
        )
        for (pattern, shape, kind), members in found.items()
    ]


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, _NUMBER.findall(name)))


def ranges(numbers: Iterable[int]) -> str:
    """0, 1, 2, 5 -> "0-2, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def shape_text(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def plain_table(*columns: Column | str, header: bool = True) -> Table:
    """No lines, two spaces between columns; a dim header. Text is escaped by being Text."""
    return Table(
        *columns,
        box=None,
        show_header=header,
        header_style="dim",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )


def facts(rows: Sequence[tuple[str, str]]) -> Padding:
    """Names and values under one another."""
    table = plain_table(Column(style="dim", no_wrap=True), Column(overflow="fold"), header=False)
    for name, value in rows:
        table.add_row(name, Text(value))
    return indented(table)


def indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2), expand=False)


def number(header: str) -> Column:
    return Column(header, justify="right", no_wrap=True)
