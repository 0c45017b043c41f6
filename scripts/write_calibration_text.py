"""Write quantize/storage/calibration.txt, the text behind `--text default`.

Everything in it was written for this project, under its license: the prose and conversations in
calibration_prose.txt, a part of the documentation and of the package's code, and sums, tables and
records that are made up here. The parts are cut into pieces that take turns, so that the beginning
of the text is as mixed as all of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "quantize" / "storage" / "calibration.txt"
DOCS = ("ollama.md", "recipes.md", "imatrix.md", "hub.md", "editing.md")
CODE = (
    "progress.py",
    "registry.py",
    "execution/ranges.py",
    "execution/rows.py",
    "kernels/ternary.py",
)
PIECE = 1500  # characters
MOST = 24_000  # characters of a part

TOWNS = ("Lund", "Porto", "Graz", "Osaka", "Quito", "Leiden", "Accra", "Turin", "Perth", "Riga")
GOODS = ("lamp", "kettle", "rope", "notebook", "ladder", "tent", "bicycle", "clock", "basket")


def main() -> None:
    """Write it."""
    draw = random.Random(4)  # noqa: S311 (made up, no secret)
    prose = (ROOT / "scripts" / "calibration_prose.txt").read_text("utf-8")
    parts = (
        prose,
        joined(ROOT / "docs" / name for name in DOCS),
        joined(ROOT / "quantize" / name for name in CODE),
        "\n".join(exercise(draw) for _ in range(160)),
        "\n".join(record(draw, number) for number in range(70)),
        table(draw),
    )
    turns = zip_longest(*(pieces(part[:MOST]) for part in parts), fillvalue="")
    TARGET.write_text(
        "\n\n".join(piece for turn in turns for piece in turn if piece) + "\n", "utf-8"
    )


def joined(files: Iterable[Path]) -> str:
    """Several files as one text."""
    return "\n\n".join(path.read_text("utf-8") for path in files)


def pieces(part: str) -> list[str]:
    """Paragraphs, as many in a piece as come to its length."""
    found = [""]
    for paragraph in part.split("\n\n"):
        if len(found[-1]) > PIECE:
            found.append("")
        found[-1] += paragraph + "\n\n"
    return [piece.strip("\n") for piece in found]


def exercise(draw: random.Random) -> str:
    """A sum with its way."""
    a, b, c = (draw.randrange(2, 99) for _ in range(3))
    start, end = 60 * (a % 24) + b % 60, 60 * (a % 24) + b % 60 + c
    product = f"{a} * {b} = {a * b}, and {a * b} + {c} = {a * b + c}"
    train = f"A train leaves {draw.choice(TOWNS)} at {clock(start)} and takes {c} minutes."
    equation = f"Solve {a}x + {b} = {a * c + b}.\nTake {b} off both sides: {a}x = {a * c}."
    function = f"Let f(x) = {a}x^2 - {b}x. Then f'(x) = {2 * a}x - {b},"
    sums = (
        f"Question: What is {a} * {b} + {c}?\nAnswer: {product}.\n",
        f"{equation} Divide by {a}: x = {c}.\n",
        f"{train} It arrives at {clock(end)}.\n",
        f"{function} which is zero at x = {b}/{2 * a}.\n",
    )
    return draw.choice(sums)


def clock(minutes: int) -> str:
    """A time of day."""
    return f"{minutes // 60 % 24}:{minutes % 60:02d}"


def record(draw: random.Random, number: int) -> str:
    """An order, as JSON of one line or of several."""
    order = {
        "id": 10_000 + number,
        "town": draw.choice(TOWNS),
        "items": [
            {
                "name": draw.choice(GOODS),
                "count": draw.randrange(1, 9),
                "price": draw.randrange(99, 9999) / 100,
            }
            for _ in range(draw.randrange(1, 4))
        ],
        "paid": draw.random() < 0.7,
    }
    return json.dumps(order, indent=draw.choice((None, None, 2))) + "\n"


def table(draw: random.Random) -> str:
    """The same kind of thing with commas, and as Markdown."""
    rows = [
        (
            draw.choice(TOWNS),
            draw.choice(GOODS),
            draw.randrange(1, 500),
            f"2025-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}",
        )
        for _ in range(120)
    ]
    lines = ["town,item,count,date", *(",".join(map(str, row)) for row in rows[:70]), ""]
    lines += ["| town | item | count | date |", "|---|---|---:|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows[70:])]) + "\n"


if __name__ == "__main__":
    main()
