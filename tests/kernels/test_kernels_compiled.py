"""Compiled twins give the reference's bytes: on golden blocks and on what hypothesis finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from quantize.kernels import available
from quantize.quantizers import QUANTIZERS, TWINS, load
from tests.support.golden_blocks import NEEDY, WEIGHTED, golden_blocks
from tests.support.paths import ROOT

NAMES = list(TWINS)

# Each list is one kind of block; rows mix them. Subnormals make reciprocals overflow, ties decide
# roundings, one huge value among small ones moves the fitted minimum out of the range of levels.
EXTREMES = [0.0, -0.0, 1.0, -1.0, 2.0**-149, -(2.0**-149), 2.0**-126, 1e-30, -1e-30, 3e38, -3e38]
TIES = [n / 2 for n in range(-33, 34)]
ELEMENTS = st.one_of(
    st.sampled_from(EXTREMES),
    st.sampled_from(TIES),
    st.floats(-1, 1, width=32),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
IMPORTANCE = np.array([1, 0, 0.25, 7, 1e-3, 1e4, 0.5, 1e-20, 0, 3, 2, 1, 0.125], np.float32)
ROWS = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(512)), elements=ELEMENTS)


def blocks_of_one_magnitude(seed: int) -> NDArray[np.float32]:
    """Rows of 32-blocks, each normal around zero or around an offset, at a magnitude of its own."""
    random = np.random.default_rng(seed)
    magnitude = np.exp2(random.integers(-149, 100, (24, 64, 1)))
    offset = random.choice([0.0, 0.0, 1.0, -1.0, 100.0], (24, 64, 1))
    rows = np.empty((24, 64, 32), np.float32)
    rows[...] = (random.standard_normal(rows.shape) + offset) * magnitude
    return rows.reshape(24, 2048)


def same_bytes(name: str, rows: NDArray[np.float32]) -> None:
    quantizer, twin = QUANTIZERS[name], load(name, kernels="numba")
    if name not in NEEDY:
        np.testing.assert_array_equal(twin.quantize(rows), quantizer.quantize(rows))
    if name in WEIGHTED:
        imatrix = np.resize(IMPORTANCE, rows.shape[1])
        expected = quantizer.quantize(rows, imatrix)
        np.testing.assert_array_equal(twin.quantize(rows, imatrix), expected)


@pytest.mark.parametrize("name", NAMES)
def test_twins_give_the_golden_bytes(name: str, kit: Path) -> None:
    golden = golden_blocks(kit, name)
    quantizer = load(name, kernels="numba")
    if golden.expected is not None:
        assert golden.wrong(quantizer.quantize(golden.rows), golden.expected) == []
    for imatrix, expected in golden.weighted:
        assert golden.wrong(quantizer.quantize(golden.rows, imatrix), expected) == []


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(rows=ROWS)
def test_twins_agree_on_any_row(name: str, rows: NDArray[np.float32]) -> None:
    same_bytes(name, rows)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_twins_agree_at_any_magnitude(name: str, seed: int) -> None:
    same_bytes(name, blocks_of_one_magnitude(seed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blocks", [1, 7, 127, 128, 129])
def test_twins_agree_when_lanes_are_left_over(name: str, blocks: int) -> None:
    rows = np.random.default_rng(blocks).standard_normal((1, 256 * blocks), np.float32)
    same_bytes(name, rows)


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_twins_agree_on_nan_and_infinity(name: str) -> None:
    patterns = [0x7F800000, 0xFF800000, 0x7F800001, 0xFFC00000, 0x7FFFFFFF, 0x477FEFFF, 0x477FF000]
    rows = np.array([patterns], np.uint32).view(np.float32)
    expected = QUANTIZERS[name].quantize(rows).view(np.uint16)
    data = load(name, kernels="numba").quantize(rows).view(np.uint16)
    np.testing.assert_array_equal(data, expected)


def test_types_without_a_twin_come_with_numpy() -> None:
    assert load("F32", kernels="numba") is QUANTIZERS["F32"]
    assert load("Q4_K") is QUANTIZERS["Q4_K"]


def test_unknown_kernels_are_an_error() -> None:
    assert available() == ("numpy", "numba")
    with pytest.raises(ValueError, match="numpy, numba"):
        load("Q4_K", kernels="fortran")


def test_numba_is_imported_only_with_its_kernels() -> None:
    program = """
import sys
from quantize.quantizers import QUANTIZERS, load
[load(name) for name in QUANTIZERS]
assert "numba" not in sys.modules
load("Q8_0", kernels="numba")
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=ROOT)


def test_kernels_compile_where_no_cache_can_be_written(tmp_path: Path) -> None:
    """In a container without a home: slower to start, and the same bytes."""
    program = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
import numpy as np
from quantize.quantizers import load
rows = np.linspace(-1, 1, 512, dtype=np.float32)[None]
data = load("Q8_0", kernels="numba").quantize(rows)
assert (data == load("Q8_0").quantize(rows)).all()
"""
    environment = {**os.environ, "HOME": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", program]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
