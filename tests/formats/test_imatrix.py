"""Importance matrices are read as llama.cpp reads them, and refused where they make no sense."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantize.errors import CheckpointError, QuantizeError, UsageError
from quantize.formats.imatrix_files import read_imatrix
from quantize.formats.imatrix_summary import summarize
from tests.support.imatrix_files import Entry, F32Array, write_dat, write_gguf

SUMS = np.arange(1, 9, dtype=np.float32)
ENTRIES: dict[str, Entry] = {"blk.0.a.weight": (SUMS, [3]), "blk.1.b.weight": (SUMS[::-1], [7])}
IN_DAT = {"blk.0.a.weight": (SUMS, 3), "blk.1.b.weight": (SUMS[::-1], 7)}
WRITE: dict[str, Callable[[Path], Path]] = {
    "gguf": lambda path: write_gguf(path, ENTRIES),
    "dat": lambda path: write_dat(path, IN_DAT),
}


def as_the_gguf_package_reads(path: Path) -> dict[str, F32Array]:
    """Means by llama-quantize's rule: sums by counts, and ones where there is no count."""
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    found = {}
    for name, sums in tensors.items():
        if name.endswith(".in_sum2"):
            counts = tensors[name.removesuffix("in_sum2") + "counts"].reshape(-1)
            groups = np.array(sums, np.float32).reshape(len(counts), -1)
            for group, count in zip(groups, counts, strict=True):
                group[:] = group / np.float32(count) if count > 0 else 1
            found[name.removesuffix(".in_sum2")] = groups.reshape(-1)
    return found


@pytest.mark.parametrize("name", ["llama31-bpe", "mixtral-8x", "qwen2-tied"])
def test_values_are_sums_by_counts(kit: Path, name: str) -> None:
    path = kit / "models" / name / "imatrix.gguf"
    found = read_imatrix(path)
    expected = as_the_gguf_package_reads(path)
    assert set(found.entries) == set(expected)
    for entry, values in expected.items():
        np.testing.assert_array_equal(found.entries[entry].values(), values, strict=True)
    assert (found.format, found.chunks, found.chunk_size) == ("GGUF", 8, 512)
    assert found.datasets == ("kit-calibration.txt",)


def test_both_formats_of_llama_imatrix_say_the_same(models: Path) -> None:
    """The .dat file has the same means times the number of chunks; 170 loses nothing of them."""
    new, old = (read_imatrix(models / "tinyrust" / f"imatrix.{kind}") for kind in ("gguf", "dat"))
    assert set(new.entries) == set(old.entries)
    assert len(new.entries) == 56
    for name, entry in new.entries.items():
        np.testing.assert_array_equal(entry.values(), old.entries[name].values(), strict=True)
        assert entry.digest == old.entries[name].digest
    assert (new.chunks, new.chunk_size) == (170, 256)
    assert (old.chunks, old.chunk_size) == (170, 0)
    assert new.datasets == old.datasets == ("calib.txt",)


values = hnp.arrays(
    np.float32, st.just(12), elements=st.floats(0, 2.0**100, width=32, allow_subnormal=True)
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sums=values, counts=st.lists(st.integers(0, 1 << 24), min_size=3, max_size=3))
def test_each_expert_has_its_own_count(tmp_path: Path, sums: F32Array, counts: list[int]) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"x": (sums, counts)})
    entry = read_imatrix(path).entries["x"]
    np.testing.assert_array_equal(entry.values(), as_the_gguf_package_reads(path)["x"], strict=True)
    assert entry.counts == tuple(counts)
    assert entry.unseen == counts.count(0)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sums=values, calls=st.integers(1, 1 << 20))
def test_a_dat_file_is_divided_by_its_calls(tmp_path: Path, sums: F32Array, calls: int) -> None:
    path = write_dat(tmp_path / "m.dat", {"x": (sums, calls)})
    expected = sums / np.float32(calls)
    np.testing.assert_array_equal(read_imatrix(path).entries["x"].values(), expected, strict=True)


def test_a_dat_file_without_calls_has_means(tmp_path: Path) -> None:
    path = write_dat(tmp_path / "m.dat", {"x": (SUMS, 0)})
    np.testing.assert_array_equal(read_imatrix(path).entries["x"].values(), SUMS)


@pytest.mark.parametrize(
    ("chunks", "dataset", "expected"),
    [(None, None, (0, ())), (5, None, (5, ())), (5, "a.txt", (5, ("a.txt",))), (-1, "", (0, ()))],
)
def test_older_dat_files_end_earlier(
    tmp_path: Path, chunks: int | None, dataset: str | None, expected: tuple[int, tuple[str, ...]]
) -> None:
    found = read_imatrix(write_dat(tmp_path / "m.dat", IN_DAT, chunks=chunks, dataset=dataset))
    assert (found.chunks, found.datasets) == expected


def test_counts_are_rounded_as_c_rounds(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"x": (SUMS, [0.4, 0.5, 1.5, 2.5])})
    assert read_imatrix(path).entries["x"].counts == (0, 1, 2, 3)


@pytest.mark.parametrize("kind", WRITE)
def test_a_file_that_is_cut_short_is_refused_wherever_it_is_cut(tmp_path: Path, kind: str) -> None:
    data = WRITE[kind](tmp_path / "whole").read_bytes()
    cut = tmp_path / "cut"
    # A .dat file may end where older ones did: after its entries, and after the number of chunks.
    trailer = 4 + 4 + len(b"text.txt")
    whole = {len(data) - trailer + extra for extra in range(8)} if kind == "dat" else set()
    # The last tensor of a GGUF file is padded.
    end = len(data) if kind == "dat" else len(data) - 28
    for length in set(range(end)) - whole:
        cut.write_bytes(data[:length])
        with pytest.raises((CheckpointError, UsageError)):
            read_imatrix(cut)


@pytest.mark.parametrize("kind", WRITE)
def test_a_spoiled_byte_is_refused_or_harmless(tmp_path: Path, kind: str) -> None:
    data = WRITE[kind](tmp_path / "whole").read_bytes()
    chance = random.Random(3)  # noqa: S311 (the same in every run)
    path = tmp_path / "spoiled"
    refused = 0
    for place in range(len(data)):
        spoiled = bytearray(data)
        spoiled[place] = chance.randrange(256)
        path.write_bytes(spoiled)
        try:
            found = read_imatrix(path)
        except QuantizeError:
            refused += 1
        else:
            for entry in found.entries.values():
                assert np.isfinite(entry.values()).all()
                assert (entry.values() >= 0).all()
    assert refused > len(data) / 10


@pytest.mark.parametrize("kind", WRITE)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, -1e-30])
def test_values_that_no_mean_of_squares_has(tmp_path: Path, kind: str, value: float) -> None:
    sums = SUMS.copy()
    sums[5] = value
    path = tmp_path / "m"
    written = (
        write_gguf(path, {"x": (sums, [3])})
        if kind == "gguf"
        else write_dat(path, {"x": (sums, 3)})
    )
    with pytest.raises(CheckpointError, match="at column 5") as caught:
        read_imatrix(written)
    assert caught.value.code == "bad-imatrix"
    assert caught.value.where == str(path)
    assert caught.value.hint


def test_a_negative_zero_is_zero(tmp_path: Path) -> None:
    sums = np.array([-0.0, 1], np.float32)
    entry = read_imatrix(write_gguf(tmp_path / "m", {"x": (sums, [1])})).entries["x"]
    assert entry.zeros == 1


@pytest.mark.parametrize("counts", [[-1.0], [np.nan], [np.inf], [1, 2, 3]])
def test_counts_that_are_none(tmp_path: Path, counts: list[float]) -> None:
    sums = np.ones(6 if len(counts) == 1 else 9, np.float32)
    path = write_gguf(tmp_path / "m", {"x": (sums, counts)})
    if len(counts) == 3:
        # Two of three counts go missing: nine sums cannot be shared by two.
        data = bytearray(path.read_bytes())
        place = data.index(b"x.counts") + len(b"x.counts") + 4
        assert struct.unpack_from("<QQ", data, place) == (1, 3)
        struct.pack_into("<QQ", data, place, 1, 2)
        path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        read_imatrix(path)
    assert caught.value.code == "bad-imatrix"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"x.counts", b"x.countz", "sums of x, but no counts"),
        (b"imatrix.chunk_size", b"imatrix.chunk_sizz", "no importance matrix"),
        (b"imatrix.datasets", b"imatrix.datasetz", "no importance matrix"),
        (b"x.in_sum2", b"x.in_sum3", "no importance matrix"),
    ],
)
def test_gguf_files_that_lack_something(
    tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    path = write_gguf(tmp_path / "m", {"x": (SUMS, [1])})
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    with pytest.raises(QuantizeError, match=message):
        read_imatrix(path)


def test_counts_without_sums(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m", {"x": (SUMS, [1]), "y": (SUMS, [1])})
    path.write_bytes(path.read_bytes().replace(b"y.in_sum2", b"y.in_sum3"))
    with pytest.raises(CheckpointError, match="counts of y, but no sums"):
        read_imatrix(path)


def test_sums_of_another_type(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m", {"x": (SUMS, [1])})
    data = bytearray(path.read_bytes())
    place = data.index(b"x.in_sum2") + len(b"x.in_sum2") + 4 + 2 * 8
    assert struct.unpack_from("<I", data, place) == (gguf.GGMLQuantizationType.F32,)
    struct.pack_into("<I", data, place, gguf.GGMLQuantizationType.F16)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="are F16 and F32, not F32"):
        read_imatrix(path)


def test_a_name_that_stands_twice(tmp_path: Path) -> None:
    path = write_dat(tmp_path / "m", {"xa": (SUMS, 1), "xb": (SUMS, 1)})
    path.write_bytes(path.read_bytes().replace(b"xb", b"xa"))
    with pytest.raises(CheckpointError, match="xa is there twice"):
        read_imatrix(path)


@pytest.mark.parametrize(
    ("place", "number"),
    [(0, 2**31 - 1), (0, -1), (0, 0), (4, 2**31 - 1), (4, -5), (4, 0), (9, -1), (13, 0),
     (13, 2**31 - 1), (13, -8)],
)  # fmt: skip
def test_absurd_numbers_in_a_dat_file(tmp_path: Path, place: int, number: int) -> None:
    """At 0 the number of entries, at 4 the length of a name, then calls, and number of values."""
    path = write_dat(tmp_path / "m", {"x": (SUMS, 1)})
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, place, number)
    path.write_bytes(data)
    with pytest.raises((CheckpointError, UsageError)):
        read_imatrix(path)


@pytest.mark.parametrize("content", [b"", b"GG", b"hello, this is a text\n" * 9, b"\0" * 99])
def test_files_that_are_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_imatrix(path)
    assert caught.value.code == "no-imatrix"
    assert "quantize imatrix make" in str(caught.value.hint)


@pytest.mark.parametrize("name", [".", "nowhere.gguf"])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_imatrix(tmp_path / name)
    assert caught.value.code == "no-such-imatrix"


def test_a_file_that_changes_later_is_noticed(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m", {"x": (SUMS, [1])})
    entry = read_imatrix(path).entries["x"]
    write_gguf(path, {"x": (SUMS + 1, [1])})
    with pytest.raises(CheckpointError) as caught:
        entry.values()
    assert caught.value.code == "imatrix-changed"


def test_the_summary_names_the_extremes(tmp_path: Path) -> None:
    sums = np.array([4, 0, 8, 2, 2, 2, 5, 5, 5], np.float32)
    found = summarize(read_imatrix(write_gguf(tmp_path / "m", {"x": (sums, [2, 1, 0])})))
    (tensor,) = found.tensors
    # Means are 2 0 4 | 2 2 2, and the third expert was never seen.
    assert tensor.mean == 2
    assert [(one.expert, one.index, one.value) for one in tensor.most] == [
        (0, 2, 4), (0, 0, 2), (1, 0, 2),
    ]  # fmt: skip
    assert (tensor.least[0].expert, tensor.least[0].index, tensor.least[0].value) == (0, 1, 0)
    assert (found.columns, found.active, found.experts, found.unseen) == (9, 5, 3, 1)
