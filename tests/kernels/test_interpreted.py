"""Every compiled kernel also runs as plain Python: the same bytes, and no access out of bounds.

Compiled code checks no bounds: a wrong offset reads or writes other memory. Here each access of a
vector is checked, on rows that fill whole vectors of lanes and on rows that do not.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quantize.quantizers import TWINS
from tests.support.golden_blocks import NEEDY, WEIGHTED
from tests.support.paths import ROOT

PROGRAM = """
import sys
import numpy as np
from quantize.kernels.compiled import vector
from quantize.quantizers import QUANTIZERS, load
np.seterr(all="ignore")
accesses = []
checked = vector._window
vector._window = lambda array, at, size: (accesses.append(at), checked(array, at, size))[1]
random = np.random.default_rng(3)
name, ways = sys.argv[1], sys.argv[2].split()
for shape in ((1, 256), (5, 256), (1, 768)):
    scale = np.exp2(random.integers(-140, 100, (shape[0], 1)))
    rows = (random.standard_normal(shape) * scale).astype(np.float32)
    importance = random.random(shape[1]).astype(np.float32)
    for way in ways:
        imatrix = importance if way == "weighted" else None
        twin = load(name, kernels="numba").quantize(rows, imatrix)
        assert (twin == QUANTIZERS[name].quantize(rows, imatrix)).all(), (shape, way)
print(len(accesses))
"""
# Their kernels are loops over numbers, without vectors.
SCALAR = {"F16", "BF16"}


@pytest.mark.parametrize("name", TWINS)
def test_a_kernel_as_plain_python_gives_the_same_bytes_within_its_arrays(name: str) -> None:
    ways = ["plain"] * (name not in NEEDY) + ["weighted"] * (name in WEIGHTED)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, " ".join(ways)],
        env={**os.environ, "QUANTIZE_INTERPRET": "1"},
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (int(done.stdout) > 0) is (name not in SCALAR)


def test_an_access_out_of_bounds_is_an_error() -> None:
    program = "from quantize.kernels.compiled import vector as v; import numpy as np; v.{}"
    array = "np.zeros(20, np.float32)"
    for call in (f"load({array}, 5)", f"load({array}, -1)", f"store({array}, 5, v.splat(0))"):
        done = subprocess.run(
            [sys.executable, "-c", program.format(call)], env={**os.environ},
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert "IndexError" in done.stderr, call
