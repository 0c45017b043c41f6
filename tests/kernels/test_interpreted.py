"""Every compiled kernel also runs as plain Python: the same bytes, and no access out of bounds.

Compiled code checks no bounds: a wrong offset reads or writes other memory. Here each access of a
vector is checked, on rows that fill whole vectors of lanes and on rows that do not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from quantize.quantizers import TWINS
from tests.support.golden_blocks import NEEDY, WEIGHTED
from tests.support.paths import ROOT

# Reads a type and the ways to quantize to it from each line, and answers with the number of
# accesses, or with what differs.
PROGRAM = """
import sys
import numpy as np
from quantize.kernels.compiled import vector
from quantize.quantizers import QUANTIZERS, load
np.seterr(all="ignore")
accesses = []
checked = vector._window
vector._window = lambda array, at, size: (accesses.append(at), checked(array, at, size))[1]

def compare(name, ways):
    random = np.random.default_rng(3)
    for shape in ((1, 256), (5, 256), (1, 768)):
        scale = np.exp2(random.integers(-140, 100, (shape[0], 1)))
        rows = (random.standard_normal(shape) * scale).astype(np.float32)
        importance = random.random(shape[1]).astype(np.float32)
        for way in ways:
            imatrix = importance if way == "weighted" else None
            twin = load(name, kernels="numba").quantize(rows, imatrix)
            assert (twin == QUANTIZERS[name].quantize(rows, imatrix)).all(), (shape, way)

for line in sys.stdin:
    name, *ways = line.split()
    accesses.clear()
    try:
        compare(name, ways)
        print(len(accesses), flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""
# Their kernels are loops over numbers, without vectors.
SCALAR = {"F16", "BF16"}


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Callable[[str], str]]:
    """A line for PROGRAM -> its answer; one process serves all types."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "QUANTIZE_INTERPRET": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        question, answer = process.stdin, process.stdout

        def ask(line: str) -> str:
            question.write(line + "\n")
            return answer.readline().strip()

        yield ask


@pytest.mark.parametrize("name", TWINS)
def test_a_kernel_as_plain_python_gives_the_same_bytes_within_its_arrays(
    name: str, interpreted: Callable[[str], str]
) -> None:
    ways = ["plain"] * (name not in NEEDY) + ["weighted"] * (name in WEIGHTED)
    answer = interpreted(" ".join([name, *ways]))
    assert answer.isdecimal(), answer
    assert (int(answer) > 0) is (name not in SCALAR)


def test_an_access_out_of_bounds_is_an_error() -> None:
    program = """
import numpy as np
from quantize.kernels.compiled import vector as v
array = np.zeros(20, np.float32)
for access in (
    lambda: v.load(array, 5), lambda: v.load(array, -1), lambda: v.store(array, 5, v.splat(0))
):
    try:
        access()
    except IndexError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "QUANTIZE_INTERPRET": "1"},
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 3
