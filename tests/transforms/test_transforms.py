"""Transforms against plain NumPy, and any range of rows against that slice of the whole."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import quantize.transforms
from quantize.checkpoints.base import Weight
from quantize.checkpoints.layouts.plain import PlainLayout
from quantize.execution.rows import planned_rows
from quantize.planning.plan import PlannedTensor
from quantize.tensors import Shape, as_rows
from quantize.transforms import (
    IDENTITY,
    ZEROS,
    Add,
    Every,
    FirstRows,
    Identity,
    Join,
    NegExp,
    PadRows,
    Part,
    PermuteBlocks,
    PermuteRope,
    PickRows,
    Refold,
    Reshape,
    RoundToF16,
    RowChain,
    RowTransform,
    Scale,
    ScaleSpans,
    Span,
    Stack,
    Transform,
    Transpose,
    Ungroup,
    Unpair,
    WholeTensorTransform,
    apply_whole,
    chain,
    split_at_whole,
)

F32Array = NDArray[np.float32]


def numbered(*shapes: Shape) -> list[F32Array]:
    """Arrays whose elements are all different, across arrays too."""
    made, start = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        made.append(np.arange(start, start + size, dtype=np.float32).reshape(shape))
        start += size
    return made


def permuted(array: F32Array, heads: int) -> F32Array:
    """transformers' layout of RoPE to llama.cpp's: halves of a head become pairs."""
    halves = array.reshape(heads, 2, -1, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


@dataclass(frozen=True)
class Case:
    transform: Transform
    shapes: tuple[Shape, ...]
    expected: Callable[..., F32Array]


def unpaired(a: F32Array, n_head: int, rotary: int) -> F32Array:
    heads = a.reshape(n_head, -1, *a.shape[1:])
    turned = heads[:, :rotary]
    parts = (turned[:, ::2], turned[:, 1::2], heads[:, rotary:])
    return np.concatenate(parts, axis=1).reshape(a.shape)


CASES = {
    "identity": Case(IDENTITY, ((3, 4),), lambda a: a),
    "identity of a bias": Case(IDENTITY, ((5,),), lambda a: a),
    "permute a weight": Case(PermuteRope(3), ((24, 5),), lambda a: permuted(a, 3)),
    "permute a bias": Case(PermuteRope(2), ((12,),), lambda a: permuted(a, 2)),
    "stack experts": Case(Stack(), ((2, 3), (2, 3), (2, 3)), lambda *a: np.stack(a)),
    "stack tables": Case(Stack(), ((2, 2, 3), (2, 2, 3)), lambda *a: np.stack(a)),
    "join weights": Case(Join(), ((4, 3), (1, 3), (2, 3)), lambda *a: np.concatenate(a)),
    "join biases": Case(Join(), ((4,), (1,), (2,)), lambda *a: np.concatenate(a)),
    "join experts": Case(Join(), ((2, 3, 4), (1, 3, 4)), lambda *a: np.concatenate(a)),
    "span of rows": Case(Span(2, 5), ((7, 3),), lambda a: a[2:5]),
    "span of a bias": Case(Span(1, 4), ((6,),), lambda a: a[1:4]),
    "span inside": Case(Span(1, 3, dim=1), ((2, 4, 3),), lambda a: a[:, 1:3]),
    "span deep inside": Case(Span(1, 3, dim=1), ((2, 4, 2, 3),), lambda a: a[:, 1:3]),
    "first of two parts": Case(Part(0, 2), ((6, 3),), lambda a: a[:3]),
    "last of three parts": Case(Part(2, 3), ((6, 3),), lambda a: a[4:]),
    "part of each expert": Case(Part(1, 2, dim=1), ((3, 4, 2),), lambda a: a[:, 2:]),
    "squeeze": Case(Reshape((-1, 4)), ((6, 1, 4),), lambda a: a[:, 0]),
    "heads apart": Case(Reshape((2, 3, 4)), ((6, 4),), lambda a: a.reshape(2, 3, 4)),
    "refold": Case(Refold((3, -1)), ((12,),), lambda a: a.reshape(3, 4)),
    "refold a table": Case(Refold((3, 8)), ((6, 4),), lambda a: a.reshape(3, 8)),
    "transpose": Case(Transpose(), ((3, 5),), lambda a: a.T),
    "transpose experts": Case(Transpose((0, 2, 1)), ((2, 3, 5),), lambda a: a.swapaxes(1, 2)),
    "plus one": Case(Add(), ((4,),), lambda a: a + np.float32(1)),
    "plus something": Case(Add(-0.5), ((2, 3),), lambda a: a - np.float32(0.5)),
    "times": Case(Scale(0.1), ((2, 3),), lambda a: a * np.float32(0.1)),
    "times something by the row": Case(
        ScaleSpans((1, 2), (0.1, 3.0)),
        ((3, 2),),
        lambda a: a * np.array([[0.1], [3.0], [3.0]], np.float32),
    ),
    "minus exp": Case(NegExp(), ((2, 3),), lambda a: -np.exp(a)),
    "every second": Case(Every(1, 2), ((6, 3),), lambda a: a[1::2]),
    "every third inside": Case(Every(0, 3, dim=1), ((2, 6, 2),), lambda a: a[:, ::3]),
    "unpair a weight": Case(Unpair(2, 4), ((12, 3),), lambda a: unpaired(a, 2, 4)),
    "unpair a bias": Case(Unpair(3, 4), ((12,),), lambda a: unpaired(a, 3, 4)),
    "ungroup": Case(
        Ungroup(2, (2, 1)),
        ((12, 3),),
        lambda a: np.concatenate([a[0:4], a[6:10], a[4:6], a[10:12]]),
    ),
    "blocks in another order": Case(
        PermuteBlocks((2, 0, 1)), ((6, 2),), lambda a: a[[4, 5, 0, 1, 2, 3]]
    ),
    "blocks of a bias": Case(PermuteBlocks((1, 0)), ((6,),), lambda a: a[[3, 4, 5, 0, 1, 2]]),
    "blocks of tables": Case(PermuteBlocks((1, 0)), ((4, 3, 2),), lambda a: a[[2, 3, 0, 1]]),
    "picked rows": Case(PickRows((4, 0, 4)), ((5, 2),), lambda a: a[[4, 0, 4]]),
    "first rows": Case(FirstRows(3), ((5, 2),), lambda a: a[:3]),
    "fewer than the first rows": Case(FirstRows(9), ((5, 2),), lambda a: a),
    "padded with rows": Case(
        PadRows(5), ((3, 2),), lambda a: np.concatenate([a, np.zeros((2, 2), np.float32)])
    ),
    "to half precision": Case(
        RoundToF16(), ((50, 60),), lambda a: a.astype(np.float16).astype(np.float32)
    ),
    "a chain of rows": Case(
        chain(Join(), PermuteRope(2), Span(3, 9)),
        ((4, 3), (8, 3)),
        lambda *a: permuted(np.concatenate(a), 2)[3:9],
    ),
    "a chain with values": Case(
        chain(Span(1, 3), Scale(3.0), Add(1.0)),
        ((4, 2),),
        lambda a: a[1:3] * np.float32(3) + np.float32(1),
    ),
    "halves of turned experts": Case(
        chain(Transpose((0, 2, 1)), Part(1, 2, dim=1)),
        ((2, 3, 4),),
        lambda a: a.swapaxes(1, 2)[:, 2:],
    ),
    "turned, then one of them": Case(
        chain(Transpose((0, 2, 1)), Span(1, 2)),
        ((3, 2, 4),),
        lambda a: a.swapaxes(1, 2)[1:2],
    ),
    "a chain with columns": Case(
        chain(Reshape((2, 3, 4)), Span(0, 2, dim=1), Transpose((0, 2, 1)), Add()),
        ((6, 4),),
        lambda a: a.reshape(2, 3, 4)[:, :2].swapaxes(1, 2) + np.float32(1),
    ),
}
BY_ROWS = {name: case for name, case in CASES.items() if not case.transform.needs_whole_tensor}
MIXING = {name: case for name, case in CASES.items() if case.transform.needs_whole_tensor}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_whole_is_what_numpy_says(case: Case) -> None:
    expected = case.expected(*numbered(*case.shapes))
    assert case.transform.shape(case.shapes) == expected.shape
    made = apply_whole(case.transform, numbered(*case.shapes))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, expected)


def test_every_transform_has_a_case() -> None:
    bases = {RowTransform, WholeTensorTransform}
    kinds = {
        kind
        for kind in vars(quantize.transforms).values()
        if isinstance(kind, type) and issubclass(kind, tuple(bases))
    }
    assert {type(case.transform) for case in CASES.values()} == kinds - bases


@given(st.data())
@pytest.mark.parametrize("case", BY_ROWS.values(), ids=BY_ROWS)
def test_any_range_of_rows_is_that_slice_of_the_whole(case: Case, data: st.DataObject) -> None:
    expected = case.expected(*numbered(*case.shapes))
    table = expected.reshape(as_rows(expected.shape))
    lo = data.draw(st.integers(0, len(table) - 1), "lo")
    hi = data.draw(st.integers(lo + 1, len(table)), "hi")
    np.testing.assert_array_equal(rows_of(case.transform, case.shapes, lo, hi), table[lo:hi])


@dataclass(frozen=True)
class Arrays:
    """A source of the arrays that a case takes, as weights called by their numbers."""

    arrays: Sequence[F32Array]
    name: str = "arrays"

    @property
    def weights(self) -> dict[str, Weight]:
        return {
            str(index): Weight(str(index), array.shape, "F32", PlainLayout(), ())
            for index, array in enumerate(self.arrays)
        }

    def decode_rows(self, name: str, lo: int, hi: int) -> F32Array:
        array = self.arrays[int(name)]
        return array.reshape(as_rows(array.shape))[lo:hi].copy()

    def repack_rows(self, name: str, lo: int, hi: int) -> NDArray[np.uint8]:
        raise NotImplementedError

    def read_json(self, name: str) -> None:
        return None

    def share(self) -> None:
        pass


@given(st.data())
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_task_gets_its_rows_however_they_are_made(case: Case, data: st.DataObject) -> None:
    expected = case.expected(*numbered(*case.shapes))
    table = expected.reshape(as_rows(expected.shape))
    names = tuple(map(str, range(len(case.shapes))))
    tensor = PlannedTensor(
        "t", expected.shape, "F32", "", 0, 0, names, case.transform, expected.shape
    )
    lo = data.draw(st.integers(0, len(table) - 1), "lo")
    hi = data.draw(st.integers(lo + 1, len(table)), "hi")
    step = data.draw(st.integers(1, 20), "step")
    made = planned_rows(Arrays(numbered(*case.shapes)), tensor, lo, hi, step)
    np.testing.assert_array_equal(made, table[lo:hi])


def test_stacked_experts_are_turned_one_by_one() -> None:
    """Of those that mix columns; a slice of an expert then needs the memory of one."""
    by_slice = {
        name
        for name, case in MIXING.items()
        if case.transform.needs_whole_tensor and split_at_whole(case.transform)[1].slicewise
    }
    assert by_slice == {"transpose experts", "halves of turned experts", "a chain with columns"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_slicewise_transform_makes_each_slice_of_one_slice(case: Case) -> None:
    if case.transform.slicewise:
        (source,) = numbered(*case.shapes)
        slices = [
            apply_whole(case.transform, [source[i : i + 1].copy()]) for i in range(len(source))
        ]
        whole = apply_whole(case.transform, [source.copy()])
        np.testing.assert_array_equal(np.concatenate(slices), whole)


def rows_of(transform: Transform, shapes: Sequence[Shape], lo: int, hi: int) -> F32Array:
    assert not transform.needs_whole_tensor
    tables = [array.reshape(as_rows(array.shape)) for array in numbered(*shapes)]
    cols = tables[0].shape[1]
    pieces = [
        np.zeros((len(rows), cols), np.float32) if source == ZEROS else tables[source][rows]
        for source, rows in transform.rows(shapes, lo, hi)
    ]
    return transform.values(np.concatenate(pieces))


@st.composite
def chains(draw: st.DrawFn) -> tuple[Transform, tuple[Shape, ...]]:
    """A random chain of row maps, and sources that it takes."""
    cols = draw(st.integers(1, 3))
    parts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    shapes = tuple((24 * rows, cols) for rows in parts)
    links: list[Transform] = [Join()]
    rows = 24 * sum(parts)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, rows - 1))
        choices: list[Transform] = [Span(start, rows), Add(), Scale(2.0)]
        choices += [PermuteRope(heads) for heads in (1, 3) if rows % (2 * heads) == 0]
        choices += [Part(1, 2), Every(0, 2), Ungroup(2, (2, 1))] if rows % 6 == 0 else []
        links.append(draw(st.sampled_from(choices)))
        rows = links[-1].shape([(rows, cols)])[0]
    return chain(*links), shapes


@given(chains(), st.data())
def test_a_chain_does_its_links_one_after_another(
    drawn: tuple[Transform, tuple[Shape, ...]], data: st.DataObject
) -> None:
    transform, shapes = drawn
    links = transform.links if isinstance(transform, RowChain) else (transform,)
    whole = apply_whole(links[0], numbered(*shapes))
    for link in links[1:]:
        whole = apply_whole(link, [whole])
    lo = data.draw(st.integers(0, len(whole) - 1), "lo")
    hi = data.draw(st.integers(lo + 1, len(whole)), "hi")
    np.testing.assert_array_equal(rows_of(transform, shapes, lo, hi), whole[lo:hi])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_transforms_travel_between_processes_unchanged(case: Case) -> None:
    """They are data: equal after a pickle, and with the same text in a plan's digest."""
    copy = pickle.loads(pickle.dumps(case.transform))
    assert copy == case.transform
    assert repr(copy) == repr(case.transform)
    assert " at 0x" not in repr(copy)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_transforms_without_arithmetic_move_rows(case: Case) -> None:
    """What `moves_rows_only` says decides whether stored blocks are moved as they are."""
    made = apply_whole(case.transform, numbered(*case.shapes))
    tables = [array.reshape(as_rows(array.shape)) for array in numbered(*case.shapes)]
    stored = {row.tobytes() for table in tables for row in table}
    moved = all(row.tobytes() in stored for row in made.reshape(as_rows(made.shape)))
    assert case.transform.moves_rows_only == moved


@pytest.mark.parametrize(
    ("transform", "shapes"),
    [
        (Identity(), ((2, 3), (2, 3))),
        (PermuteRope(4), ((12, 3),)),
        (Stack(), ((2, 3), (3, 2))),
        (Join(), ((2, 3), (2, 4))),
        (Span(2, 9), ((8, 3),)),
        (Span(3, 3), ((8, 3),)),
        (Part(0, 3), ((8, 3),)),
        (Reshape((4, 6)), ((8, 3),)),
        (Reshape((5, -1)), ((8, 3),)),
        (Refold((5, -1)), ((8, 3),)),
        (Transpose((0, 2, 1)), ((8, 3),)),
        (chain(Span(0, 4), PermuteRope(3)), ((8, 3),)),
    ],
)
def test_sources_that_do_not_fit_are_refused(
    transform: Transform, shapes: tuple[Shape, ...]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        transform.shape(shapes)
