"""Safetensors headers: the reference library decides what is right, hand-made bytes what is not."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from quantize.errors import CheckpointError, QuantizeError, UnsupportedError
from quantize.formats.safetensors import Header, read_header
from quantize.formats.safetensors_index import check_files, join_shards, read_index
from quantize.tensors import StoredTensor


def reader(data: bytes) -> Callable[[int, int], bytes]:
    def read(offset: int, nbytes: int) -> bytes:
        assert 0 <= offset <= offset + nbytes <= len(data), "read past the end of the file"
        return data[offset : offset + nbytes]

    return read


def header_of(data: bytes) -> Header:
    return read_header(reader(data), len(data), "model.safetensors")


def file_with(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_every_tensor_of_a_library_file_is_found_with_its_bytes(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 4), np.float16),
        "ids": np.arange(6, dtype=np.int64).reshape(2, 3),
        "mask": np.array([True, False]),
        "weight": np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32),
    }
    path = tmp_path / "model.safetensors"
    save_file(arrays, path, metadata={"format": "np"})
    data = path.read_bytes()
    header = header_of(data)
    assert header.metadata == {"format": "np"}
    assert header.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        tensor = header.tensors[name]
        assert tensor.shape == array.shape
        assert data[tensor.offset : tensor.offset + tensor.nbytes] == array.tobytes()


def test_every_checkpoint_of_the_kit_reads_like_the_library_reads_it(
    checkpoint: Callable[[str], Path],
) -> None:
    for name in ("llama-sharded-mixed", "gptoss", "gptneox", "bert"):
        for path in sorted(checkpoint(name).glob("*.safetensors")):
            header = header_of(path.read_bytes())
            with safe_open(path, "np") as expected:
                assert header.tensors.keys() == set(expected.keys())
                for tensor in header.tensors.values():
                    view = expected.get_slice(tensor.name)
                    assert list(tensor.shape) == view.get_shape()
                    assert tensor.dtype == view.get_dtype()


def test_entries_may_stand_in_any_order_and_keep_it() -> None:
    data = file_with({"b": entry(offsets=[8, 16]), "a": entry(offsets=[0, 8])}, bytes(16))
    assert list(header_of(data).tensors) == ["b", "a"]


def test_a_header_padded_with_spaces_is_fine() -> None:
    data = file_with(json.dumps({"a": entry()}).encode() + b"    ", bytes(8))
    assert list(header_of(data).tensors) == ["a"]


# What is refused, by reference. The library must refuse the same bytes, except where it is laxer.
REFUSED: dict[str, tuple[str, bytes]] = {
    "no length": ("truncated-file", b"\x08\0\0"),
    "a header longer than the file": ("truncated-file", struct.pack("<Q", 100) + b"{}"),
    "a header longer than any": ("not-safetensors", struct.pack("<Q", 2**63) + b"{}"),
    "no JSON": ("bad-json", file_with(b"{'a'}")),
    "no UTF-8": ("bad-json", file_with(b'{"\xff": 1}')),
    "deep nesting": ("bad-json", file_with(b'{"a":' + b"[" * 100_000)),
    "a number without end": ("bad-json", file_with(b'{"a":' + b"9" * 5000 + b"}")),
    "a list": ("bad-safetensors", file_with([])),
    "metadata that is not text": ("bad-safetensors", file_with({"__metadata__": {"a": 1}})),
    "an entry without offsets": ("bad-safetensors", file_with({"a": {"dtype": "F32"}})),
    "an entry that is a number": ("bad-safetensors", file_with({"a": 1})),
    "a negative dimension": ("bad-safetensors", file_with({"a": entry(shape=[-2])}, bytes(8))),
    "a dimension that is true": (
        "bad-safetensors",
        file_with({"a": entry(shape=[2, True])}, bytes(8)),
    ),
    "a fraction of a dimension": (
        "bad-safetensors",
        file_with({"a": entry(shape=[2.0])}, bytes(8)),
    ),
    "a product beyond 64 bits": (
        "bad-safetensors",
        file_with({"a": entry(shape=[2**33, 2**33], offsets=[0, 0])}),
    ),
    "a product beyond 64 bits hidden by a zero": (
        "bad-safetensors",
        file_with({"a": entry(shape=[2**40, 2**40, 0], offsets=[0, 0])}),
    ),
    "three offsets": ("bad-safetensors", file_with({"a": entry(offsets=[0, 8, 8])}, bytes(8))),
    "offsets the wrong way round": (
        "bad-safetensors",
        file_with({"a": entry(offsets=[8, 0])}, bytes(8)),
    ),
    "fewer bytes than the shape takes": (
        "bad-safetensors",
        file_with({"a": entry(offsets=[0, 4])}, bytes(4)),
    ),
    "an overlap": (
        "bad-safetensors",
        file_with({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)),
    ),
    "a hole": ("bad-safetensors", file_with({"a": entry(offsets=[4, 12])}, bytes(12))),
    "bytes that belong to no tensor": ("bad-safetensors", file_with({"a": entry()}, bytes(9))),
    "data cut short": ("truncated-file", file_with({"a": entry()}, bytes(7))),
    "a dtype from the future": ("unknown-dtype", file_with({"a": entry("F77")}, bytes(8))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_contradicts_itself_is_refused(case: str, tmp_path: Path) -> None:
    reference, data = REFUSED[case]
    with pytest.raises(QuantizeError) as caught:
        header_of(data)
    assert caught.value.code == reference
    assert str(caught.value).startswith("model.safetensors")
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(SafetensorError), safe_open(path, "np"):
        pass


def test_a_key_that_stands_twice_is_refused() -> None:
    text = json.dumps({"a": entry()})
    twice = (text[:-1] + ", " + text[1:]).encode()
    with pytest.raises(CheckpointError, match="'a' is there twice") as caught:
        header_of(file_with(twice, bytes(8)))
    assert caught.value.code == "bad-safetensors"


def test_an_unknown_dtype_is_unsupported_and_names_the_tensor() -> None:
    with pytest.raises(UnsupportedError, match="dtype 'F77' is not known") as caught:
        header_of(file_with({"a": entry("F77")}, bytes(8)))
    assert caught.value.where == "model.safetensors:a"
    assert caught.value.exit_code == 3


def test_a_cut_file_says_how_much_is_missing_and_what_to_do() -> None:
    whole = file_with({"a": entry(shape=[100], offsets=[0, 400])}, bytes(400))
    with pytest.raises(CheckpointError) as caught:
        header_of(whole[:-150])
    assert str(caught.value) == f"model.safetensors: 150 of {len(whole)} bytes are missing"
    assert caught.value.hint == "download the file again"
    assert caught.value.exit_code == 4


def test_a_git_lfs_pointer_is_called_one() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 16060522496\n"
    with pytest.raises(CheckpointError) as caught:
        header_of(pointer)
    assert caught.value.code == "lfs-pointer"
    assert "git lfs pull" in (caught.value.hint or "")


def index_bytes(weight_map: object) -> bytes:
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}).encode()


def test_an_index_maps_tensors_to_shards() -> None:
    weight_map = {"a": "model-00001-of-00002.safetensors", "b": "sub/model.safetensors"}
    assert read_index(index_bytes(weight_map), "index.json") == weight_map


@pytest.mark.parametrize(
    "file",
    ["../other.safetensors", "/etc/passwd", "a/../../b", "..\\b", "C:b", "", ".", "a\0b", 7, None],
)
def test_an_index_cannot_point_outside_its_folder(file: object) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_index(index_bytes({"a": file}), "index.json")
    assert caught.value.code == "bad-index"
    assert caught.value.where == "index.json:a"


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"weight_map": {}}', b'{"weight_map": []}'])
def test_an_index_without_a_weight_map_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_index(data, "index.json")
    assert caught.value.code == "bad-index"


def test_an_index_that_is_no_json_is_refused() -> None:
    with pytest.raises(CheckpointError) as caught:
        read_index(b"<html>", "index.json")
    assert caught.value.code == "bad-json"


def shard(file: str, *names: str) -> Header:
    return Header({name: StoredTensor(name, "F32", (2,), file, 0, 8) for name in names}, {})


def test_missing_files_are_named_before_missing_tensors() -> None:
    weight_map = {"a": "one", "b": "two", "c": "three"}
    with pytest.raises(CheckpointError) as caught:
        check_files(weight_map, ["one"], "index.json")
    assert str(caught.value) == "index.json: 2 files of the index missing: three, two"
    check_files(weight_map, ["one", "two", "three", "four"], "index.json")


def test_shards_join_in_their_own_order() -> None:
    joined = join_shards(
        {"a": "two", "b": "one", "c": "two"},
        {"one": shard("one", "b"), "two": shard("two", "c", "a")},
        "index.json",
    )
    assert {name: tensor.file for name, tensor in joined.items()} == {
        "b": "one",
        "c": "two",
        "a": "two",
    }
    assert list(joined) == ["b", "c", "a"]


def test_the_index_decides_between_two_shards_with_the_same_tensor() -> None:
    joined = join_shards(
        {"a": "two"}, {"one": shard("one", "a"), "two": shard("two", "a")}, "index.json"
    )
    assert joined["a"].file == "two"


def test_tensors_that_only_one_side_knows_are_refused_missing_ones_first() -> None:
    with pytest.raises(CheckpointError) as caught:
        join_shards({"a": "one", "b": "one"}, {"one": shard("one", "a", "x")}, "index.json")
    assert caught.value.code == "missing-tensors"
    assert str(caught.value) == "index.json: 1 tensor of the index in no shard: b"
    names = [f"x{i}" for i in range(7)]
    with pytest.raises(CheckpointError) as caught:
        join_shards({"a": "one"}, {"one": shard("one", "a", *names)}, "index.json")
    assert caught.value.code == "unlisted-tensors"
    assert str(caught.value).endswith("not in the index: x0, x1, x2, x3, x4 and 2 more")
