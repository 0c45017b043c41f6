"""Twin of kernels.compensation: the same order of every sum, tiles that stay in the cache."""

from __future__ import annotations

import numpy as np

from quantize.kernels.compensation import (
    Coded,
    F32Array,
    F64Array,
    I32Array,
    Moves,
    U8Array,
    damped_backwards,
)
from quantize.kernels.compiled import compiled, device

# Codes, levels, mins, d and dmin of a few rows; values, the columns that share a scale, whether the
# values are even; whether something moves, whether it is a float16, its least and its most.
Tile = tuple[U8Array, I32Array, I32Array, F32Array, F32Array]
Grid = tuple[F32Array, int, bool]
Limits = tuple[bool, bool, int, int]

_ROWS = 16  # rows that share a line of the metric while it is at hand
_WIDTH = 512  # columns of the later part that are updated at a time
_LINES = 256  # lines of a metric that are at hand while those columns are updated
_PANEL = 8  # columns of a factor that are eliminated together


def factor(metric: F32Array, damping: float) -> tuple[F32Array, F32Array]:
    """As kernels.compensation.factor."""
    damped, backwards = damped_backwards(metric, damping)
    broken = _cholesky(backwards)
    if broken >= 0:
        raise ValueError(f"not positive definite at column {broken}")
    inverse = _inverse_of_lower(backwards)
    return damped, np.ascontiguousarray(inverse[::-1, ::-1], np.float32)


def compensate(
    rows: F32Array,
    lo: int,
    coded: Coded,
    factor: F32Array,
    sub: int,
    values: F32Array,
    *,
    even: bool,
) -> None:
    """As kernels.compensation.compensate."""
    grid = (values, sub, even)
    _compensate(rows, lo, coded.codes, coded.scales(), coded.offsets(), factor, grid)


def descend(
    rows: F32Array,
    coded: Coded,
    metric: F32Array,
    sub: int,
    values: F32Array,
    moves: Moves,
    sweeps: int,
    *,
    even: bool,
) -> None:
    """As kernels.compensation.descend."""
    grid = (values, sub, even)
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        tile = (
            coded.codes[part], coded.levels[part], coded.mins[part], coded.d[part],
            coded.dmin[part],
        )  # fmt: skip
        stored, slopes = _slopes(rows[part], tile, metric, grid)
        for _ in range(sweeps):
            _move_codes(tile, metric, grid, stored, slopes)
            limits = (moves.scales, moves.levels is None, *(moves.levels or (0, 0)))
            offset_limits = (moves.offsets, moves.mins is None, *(moves.mins or (0, 0)))
            _move_scales(tile, metric, grid, limits, offset_limits, stored, slopes)


@compiled
def _cholesky(a: F64Array) -> int:
    """In place, the lower part; the column that is not positive, or -1."""
    n = a.shape[0]
    lines = np.empty((_PANEL, n))
    for first in range(0, n, _PANEL):
        last = min(first + _PANEL, n)
        for k in range(first, last):
            if not a[k, k] > 0:
                return k
            root = np.sqrt(a[k, k])
            for i in range(k, n):
                a[i, k] /= root
                lines[k - first, i] = a[i, k]
            for i in range(k + 1, n):
                left = a[i, k]
                for j in range(k + 1, min(last, i + 1)):
                    a[i, j] -= left * lines[k - first, j]
        for i in range(last, n):
            for p in range(last - first):
                left = a[i, first + p]
                for j in range(last, i + 1):
                    a[i, j] -= left * lines[p, j]
    return -1


@compiled
def _inverse_of_lower(lower: F64Array) -> F64Array:
    n = lower.shape[0]
    inverse = np.zeros((n, n))
    for i in range(n):
        inverse[i, i] = 1.0
        for k in range(i):
            left = lower[i, k]
            for j in range(k + 1):
                inverse[i, j] -= left * inverse[k, j]
        for j in range(i + 1):
            inverse[i, j] /= lower[i, i]
    return inverse


@device
def _nearest(x: np.float32, scale: np.float32, offset: np.float32, grid: Grid) -> int:
    values, _, even = grid
    if scale == 0:
        return 0
    target = (x + offset) / scale
    if even:
        code = np.rint(np.float32(target - values[0]))
        return int(min(max(code, np.float32(0)), np.float32(values.shape[0] - 1)))
    code = 0
    for k in range(values.shape[0] - 1):
        if (values[k] + values[k + 1]) / np.float32(2) < target:
            code += 1
    return code


@compiled
def _compensate(
    rows: F32Array,
    lo: int,
    codes: U8Array,
    scales: F32Array,
    offsets: F32Array,
    factor: F32Array,
    grid: Grid,
) -> None:
    values, sub, _ = grid
    n, cols = rows.shape
    width = codes.shape[1]
    hi = lo + width
    errors = np.empty((n, width), np.float32)
    for r in range(n):
        row = rows[r]
        for place in range(width):
            column = lo + place
            scale, offset = scales[r, place // sub], offsets[r, place // sub]
            code = _nearest(row[column], scale, offset, grid)
            codes[r, place] = code
            error = (row[column] - (scale * values[code] - offset)) / factor[column, column]
            errors[r, place] = error
            for k in range(column + 1, hi):
                row[k] -= error * factor[column, k]
    for start in range(hi, cols, _WIDTH):
        end = min(start + _WIDTH, cols)
        for r in range(n):
            _subtract(rows[r], start, end, errors[r], 0, factor, lo)


@device
def _subtract(
    row: F32Array, lo: int, hi: int, errors: F32Array, first: int, lines: F32Array, line: int
) -> None:
    """Take errors[first + j] * lines[line + j] off row[lo:hi], j by j, four in a pass.

    Whole arrays and places in them: Numba does not know that parts of lines are contiguous.
    """
    count = min(_LINES, errors.shape[0] - first)
    whole = count // 4 * 4
    for j in range(0, whole, 4):
        e0, e1 = errors[first + j], errors[first + j + 1]
        e2, e3 = errors[first + j + 2], errors[first + j + 3]
        l0, l1, l2, l3 = (
            lines[line + j],
            lines[line + j + 1],
            lines[line + j + 2],
            lines[line + j + 3],
        )
        for k in range(lo, hi):
            row[k] = (((row[k] - e0 * l0[k]) - e1 * l1[k]) - e2 * l2[k]) - e3 * l3[k]
    for j in range(whole, count):
        last = lines[line + j]
        for k in range(lo, hi):
            row[k] -= errors[first + j] * last[k]


@device
def _scale(tile: Tile, r: int, place: int) -> np.float32:
    scale: np.float32 = tile[3][r, place] * np.float32(tile[1][r, place])
    return scale


@device
def _offset(tile: Tile, r: int, place: int) -> np.float32:
    offset: np.float32 = tile[4][r, place] * np.float32(tile[2][r, place])
    return offset


@compiled
def _slopes(rows: F32Array, tile: Tile, metric: F32Array, grid: Grid) -> tuple[F32Array, F32Array]:
    """The rows as they are stored, and the slopes of their cost."""
    n, cols = rows.shape
    values, sub, _ = grid
    stored = np.empty((n, cols), np.float32)
    slopes = np.zeros((n, cols), np.float32)
    errors = np.empty((n, cols), np.float32)
    for r in range(n):
        for j in range(cols):
            scale, offset = _scale(tile, r, j // sub), _offset(tile, r, j // sub)
            stored[r, j] = scale * values[tile[0][r, j]] - offset
            # Its negative, as _subtract takes off.
            errors[r, j] = stored[r, j] - rows[r, j]
    for begin in range(0, cols, _WIDTH):
        end = min(begin + _WIDTH, cols)
        for line in range(0, cols, _LINES):
            for r in range(n):
                _subtract(slopes[r], begin, end, errors[r], line, metric, line)
    return stored, slopes


@compiled
def _move_codes(
    tile: Tile, metric: F32Array, grid: Grid, stored: F32Array, slopes: F32Array
) -> None:
    values, sub, _ = grid
    n, cols = stored.shape
    for j in range(cols):
        curvature = metric[j, j]
        for r in range(n):
            scale = _scale(tile, r, j // sub)
            if scale == 0:
                continue
            offset = _offset(tile, r, j // sub)
            slope = slopes[r, j]
            code = _nearest(stored[r, j] + slope / curvature, scale, offset, grid)
            moved = scale * values[code] - offset
            step = moved - stored[r, j]
            if step * step * curvature - np.float32(2) * step * slope < 0:
                tile[0][r, j] = code
                stored[r, j] = moved
                _take_off(slopes[r], step, metric[j])


@device
def _take_off(slopes: F32Array, step: np.float32, line: F32Array) -> None:
    for k in range(slopes.shape[0]):
        slopes[k] -= step * line[k]


@compiled
def _move_scales(
    tile: Tile,
    metric: F32Array,
    grid: Grid,
    limits: Limits,
    offset_limits: Limits,
    stored: F32Array,
    slopes: F32Array,
) -> None:
    values, sub, _ = grid
    n, cols = stored.shape
    along = np.empty(sub, np.float32)
    for place in range(cols // sub):
        at = place * sub
        if limits[0]:
            for r in range(n):
                factor = np.float32(1) if limits[1] else tile[3][r, place]
                for i in range(sub):
                    along[i] = factor * values[tile[0][r, at + i]]
                if _step(tile[3], tile[1], r, place, along, metric, limits, slopes[r]):
                    _update(tile, r, place, metric, grid, stored[r], slopes[r])
        if offset_limits[0]:
            for r in range(n):
                factor = np.float32(1) if offset_limits[1] else tile[4][r, place]
                along[:] = -factor
                if _step(tile[4], tile[2], r, place, along, metric, offset_limits, slopes[r]):
                    _update(tile, r, place, metric, grid, stored[r], slopes[r])


@device
def _step(
    units: F32Array,
    numbers: I32Array,
    r: int,
    place: int,
    along: F32Array,
    metric: F32Array,
    limits: Limits,
    slopes: F32Array,
) -> bool:
    """Move a number, or the unit itself, where that lowers the cost. Whether it did."""
    _, halves, least, most = limits
    at = place * along.shape[0]
    slope, curvature = np.float32(0), np.float32(0)
    for i in range(along.shape[0]):
        slope += along[i] * slopes[at + i]
        inner = np.float32(0)
        for k in range(along.shape[0]):
            inner += metric[at + i, at + k] * along[k]
        curvature += along[i] * inner
    if not curvature > 0:
        return False
    before = units[r, place] if halves else np.float32(numbers[r, place])
    if halves:
        after = _half(before + slope / curvature)
        if not abs(after) <= np.float32(65504):
            return False
    else:
        after = before + np.rint(slope / curvature)
        after = min(max(after, np.float32(least)), np.float32(most))
    step = after - before
    if not step * step * curvature - np.float32(2) * step * slope < 0:
        return False
    if halves:
        units[r, place] = after
    else:
        numbers[r, place] = int(after)
    return True


@device
def _update(
    tile: Tile,
    r: int,
    place: int,
    metric: F32Array,
    grid: Grid,
    stored: F32Array,
    slopes: F32Array,
) -> None:
    """What changed scales make of the weights."""
    values, sub, _ = grid
    scale, offset = _scale(tile, r, place), _offset(tile, r, place)
    for j in range(place * sub, (place + 1) * sub):
        moved = scale * values[tile[0][r, j]] - offset
        change = moved - stored[j]
        stored[j] = moved
        _take_off(slopes, change, metric[j])


@device
def _half(x: np.float32) -> np.float32:
    """Rounded to float16, as float32: half to even, subnormal numbers too."""
    size = abs(np.float64(x))
    if size == 0:
        return x
    exponent = max(np.floor(np.log2(size)), -14.0)
    step = 2.0 ** (exponent - 10)
    return np.float32(np.rint(np.float64(x) / step) * step)
