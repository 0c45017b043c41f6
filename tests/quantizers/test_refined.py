"""Codes chosen under a metric: lower cost, the same bytes from both kernel sets, rows apart."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from quantize.kernels.compensation import F32Array, factor
from quantize.quantizers import load
from quantize.quantizers.base import BlockQuantizer
from quantize.quantizers.grids import GRIDS
from quantize.quantizers.refined import prepared, refine

COLS = 320  # of types with blocks of 32; a last slab that is not whole
COLS_K = 512
DAMPING = 0.01


def cols_of(type_name: str) -> int:
    return COLS if load(type_name).type.block_size == 32 else COLS_K


@cache
def metric(cols: int) -> F32Array:
    """Of inputs whose columns differ in size and go together."""
    rng = np.random.default_rng(1)
    mixing = np.eye(cols) + rng.standard_normal((cols, cols)) / np.sqrt(4 * cols)
    inputs = rng.standard_normal((2 * cols, cols)) @ mixing * np.exp(rng.standard_normal(cols))
    return np.asarray(inputs.T @ inputs / len(inputs), np.float32)


@cache
def weights(cols: int) -> F32Array:
    rows = np.random.default_rng(2).standard_t(5, (20, cols)).astype(np.float32) * np.float32(0.02)
    rows[3] = 0
    return rows


def cost(rows: F32Array, stored: F32Array, h: F32Array) -> float:
    error = (rows - stored).astype(np.float64)
    return float(np.einsum("ij,jk,ik->", error, h.astype(np.float64), error))


@pytest.mark.parametrize("type_name", GRIDS)
def test_the_cost_falls_below_that_of_an_importance_matrix(type_name: str) -> None:
    cols = cols_of(type_name)
    h, rows, quantizer = metric(cols), weights(cols), load(type_name, "numba")
    plain = quantizer.dequantize(quantizer.quantize(rows, np.diagonal(h).copy()))
    ready = prepared(h, DAMPING, "numba")
    costs = [
        cost(rows, quantizer.dequantize(refine(quantizer, rows, ready, sweeps, "numba")), h)
        for sweeps in (0, 1, 4)
    ]
    assert costs[0] < 0.8 * cost(rows, plain, h)
    # Descent lowers the damped cost, which is this one and a little of the plain squared error.
    assert costs[2] < costs[1] < costs[0]


@pytest.mark.parametrize("type_name", GRIDS)
def test_both_kernel_sets_give_the_same_bytes(type_name: str) -> None:
    cols = cols_of(type_name)
    rows = weights(cols)[:6]
    found = {
        kernels: refine(
            load(type_name, kernels), rows, prepared(metric(cols), DAMPING, kernels), 1, kernels
        )
        for kernels in ("numpy", "numba")
    }
    assert found["numpy"].tobytes() == found["numba"].tobytes()


@pytest.mark.parametrize("type_name", ["Q4_K", "Q5_1", "MXFP4"])
def test_a_row_does_not_depend_on_the_rows_around_it(type_name: str) -> None:
    cols = cols_of(type_name)
    rows, quantizer = weights(cols), load(type_name, "numba")
    ready = prepared(metric(cols), DAMPING, "numba")
    together = refine(quantizer, rows, ready, 1, "numba")
    for lo, hi in ((0, 1), (1, 18), (18, 20)):
        assert (refine(quantizer, rows[lo:hi], ready, 1, "numba") == together[lo:hi]).all()


@pytest.mark.parametrize("type_name", GRIDS)
def test_a_grid_stores_what_it_reads(type_name: str) -> None:
    """Scales and codes of the type's own blocks, taken apart and put together again."""
    quantizer, grid = load(type_name), GRIDS[type_name]
    assert isinstance(quantizer, BlockQuantizer)
    rows = weights(cols_of(type_name))
    stored = quantizer.quantize(rows)
    coded = grid.coded(stored.reshape(-1).view(quantizer.layout), len(rows))
    scales = np.repeat(coded.scales(), grid.sub, axis=1)
    offsets = np.repeat(coded.offsets(), grid.sub, axis=1)
    values = quantizer.dequantize(stored)
    distance = np.abs(scales[..., None] * grid.values - offsets[..., None] - values[..., None])
    coded.codes[...] = distance.argmin(axis=2)
    again = stored.copy()
    grid.store(coded, again.reshape(-1).view(quantizer.layout))
    np.testing.assert_allclose(quantizer.dequantize(again), values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_the_factor_is_the_one_of_the_inverse(kernels: str) -> None:
    ready = prepared(metric(COLS), DAMPING, kernels)
    upper = ready.factor.astype(np.float64)
    assert (np.tril(upper, -1) == 0).all()
    np.testing.assert_allclose(upper.T @ upper @ ready.metric, np.eye(COLS), atol=1e-5)


def test_columns_that_nothing_reads_are_coded_like_the_others() -> None:
    h = metric(COLS).copy()
    h[7], h[:, 7] = 0, 0
    damped, upper = factor(h, DAMPING)
    assert damped[7, 7] == pytest.approx(np.trace(h) / COLS * (1 + DAMPING))
    assert np.isfinite(upper).all()
    nothing, _ = factor(np.zeros((4, 4), np.float32), DAMPING)
    assert (nothing == np.eye(4) * np.float32(1 + DAMPING)).all()


def test_a_metric_that_is_none_is_refused() -> None:
    for kernels in ("numpy", "numba"):
        with pytest.raises(ValueError, match="not positive definite at column"):
            prepared(np.array([[1, 2], [2, 1]], np.float32), DAMPING, kernels)
