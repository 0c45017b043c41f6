"""Row maps of fused tensors say in rows what NumPy says with slices of a reshaped array."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize.tensors import Shape, as_rows
from quantize.transforms import (
    ZEROS,
    Every,
    PadRows,
    PermuteBlocks,
    RowTransform,
    Stack,
    Ungroup,
    apply_whole,
)


def numbered(shape: Shape) -> NDArray[np.float32]:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def slice_of(array: NDArray[np.float32], dim: int, start: int, step: int) -> NDArray[np.float32]:
    return np.moveaxis(np.moveaxis(array, dim, 0)[start::step], 0, dim)


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize(
    ("shape", "dim"), [((6,), 0), ((6, 4), 0), ((2, 6, 4), 1), ((2, 6, 3, 4), 1), ((3, 2, 4), 0)]
)
def test_every_takes_one_index_of_each_step(shape: Shape, dim: int, start: int) -> None:
    source = numbered(shape)
    made = apply_whole(Every(start, 3, dim), [source])
    np.testing.assert_array_equal(made, slice_of(source, dim, start, 3))


@pytest.mark.parametrize(("shape", "dim"), [((2, 6), 1), ((2, 3, 6), 2), ((5, 4), 0)])
def test_every_refuses_columns_and_rests(shape: Shape, dim: int) -> None:
    with pytest.raises(ValueError, match=f"dimension {dim}"):
        Every(0, 2, dim).shape([shape])


@pytest.mark.parametrize(("n_head", "n_head_kv"), [(4, 4), (5, 1), (8, 2)])
@pytest.mark.parametrize("cols", [(), (7,)])
def test_ungroup_gathers_q_k_and_v(n_head: int, n_head_kv: int, cols: Shape) -> None:
    head_dim, per_group = 3, n_head // n_head_kv
    source = numbered(((n_head + 2 * n_head_kv) * head_dim, *cols))
    heads = source.reshape(n_head_kv, per_group + 2, head_dim, *cols)
    parts = [heads[:, :-2], heads[:, -2:-1], heads[:, -1:]]
    expected = np.concatenate([part.reshape(-1, *cols) for part in parts])
    made = apply_whole(Ungroup(n_head_kv, (per_group, 1, 1)), [source])
    np.testing.assert_array_equal(made, expected)


def test_ungroup_refuses_rows_that_are_no_whole_groups() -> None:
    with pytest.raises(ValueError, match="13 rows are not 2 groups"):
        Ungroup(2, (1, 1, 1)).shape([(13, 4)])


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (Every(1, 2, 1), (3, 8, 5)),
        (Every(0, 4), (16, 5)),
        (PermuteBlocks((1, 0)), (4, 3, 5)),
        (Ungroup(2, (3, 1, 1)), (40, 5)),
    ],
)
def test_any_range_of_rows_is_that_part_of_the_whole(transform: RowTransform, shape: Shape) -> None:
    source = numbered(shape)
    whole = apply_whole(transform, [source]).reshape(as_rows(transform.shape([shape])))
    table = source.reshape(as_rows(shape))
    for lo in range(len(whole)):
        for hi in range(lo + 1, len(whole) + 1):
            made = np.concatenate([table[rows] for _, rows in transform.rows([shape], lo, hi)])
            np.testing.assert_array_equal(made, whole[lo:hi])


@pytest.mark.parametrize("shape", [(3, 4), (5, 4), (2, 3, 4)])
def test_padding_adds_rows_of_zeros(shape: Shape) -> None:
    source = numbered(shape)
    made = apply_whole(PadRows(5), [source])
    assert made.shape == (5, *shape[1:])
    np.testing.assert_array_equal(made[: shape[0]], source)
    assert not made[shape[0] :].any()


def test_padding_in_ranges_reads_each_row_once() -> None:
    ranges = [PadRows(5).rows([(3, 4)], lo, lo + 2) for lo in (0, 2, 4)]
    assert [[(source, len(rows)) for source, rows in pieces] for pieces in ranges] == [
        [(0, 2)], [(0, 1), (ZEROS, 1)], [(ZEROS, 2)],
    ]  # fmt: skip


def test_blocks_come_in_the_order_that_is_asked_for() -> None:
    source = numbered((6, 4, 5))
    made = apply_whole(PermuteBlocks((2, 0, 1)), [source])
    np.testing.assert_array_equal(made, source[[4, 5, 0, 1, 2, 3]])
    with pytest.raises(ValueError, match="3 equal blocks"):
        PermuteBlocks((2, 0, 1)).shape([(4, 5)])


def test_stack_refuses_vectors() -> None:
    """Their elements are rows of one column, which a row map cannot lay side by side."""
    with pytest.raises(ValueError, match="Join and Refold"):
        Stack().shape([(4,), (4,)])
