"""GGUF headers: the gguf package writes and reads the same bytes, hand-made bytes are refused."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.errors import CheckpointError, QuantizeError, UnsupportedError
from quantize.formats.gguf import TensorEntry, data_offsets, encode_header, pad
from quantize.formats.gguf_read import GGUFHeader, read_header
from quantize.formats.kv import KV, SCALAR_IDS, array, boolean, f32, i32, string, u32
from quantize.tensors import GGML_TYPES, tensor_nbytes

KVS = (
    string("general.architecture", "llama"),
    string("general.name", "Größe 模型"),
    KV("a.u8", "UINT8", 255),
    KV("a.i8", "INT8", -128),
    KV("a.u16", "UINT16", 65535),
    KV("a.i16", "INT16", -32768),
    u32("a.u32", 2**32 - 1),
    i32("a.i32", -(2**31)),
    f32("a.f32", 0.1),
    boolean("a.bool", value=True),
    KV("a.u64", "UINT64", 2**64 - 1),
    KV("a.i64", "INT64", -(2**63)),
    KV("a.f64", "FLOAT64", 0.1),
    array("a.strings", "STRING", ["", "<s>", "▁the"]),
    array("a.bytes", "STRING", [b"\xff", "text"]),
    array("a.ints", "INT32", [-1, 0, 7]),
    array("a.floats", "FLOAT32", [0.5, -1e30, float("inf")]),
    array("a.bools", "BOOL", [True, False]),
    array("a.none", "STRING", []),
)
TENSORS = {
    "token_embd.weight": ("Q6_K", (5, 256)),
    "blk.0.attn_q.weight": ("Q4_K", (3, 512)),
    "blk.0.ffn_gate_exps.weight": ("Q8_0", (2, 3, 32)),
    "output_norm.weight": ("F32", (7,)),
    "patch.weight": ("F16", (2, 3, 4, 5)),
    "tiny.bias": ("BF16", (1,)),
}
GGUF_TYPES = {name: gguf.GGUFValueType[name] for name in SCALAR_IDS}


def entries(alignment: int = 32) -> tuple[list[TensorEntry], list[int], int]:
    sizes = [tensor_nbytes(kind, shape) for kind, shape in TENSORS.values()]
    offsets, total = data_offsets(sizes, alignment)
    found = [
        TensorEntry(name, shape, kind, offset)
        for (name, (kind, shape)), offset in zip(TENSORS.items(), offsets, strict=True)
    ]
    return found, sizes, total


def header_of(data: bytes) -> GGUFHeader:
    def read(offset: int, nbytes: int) -> bytes:
        assert 0 <= offset <= offset + nbytes <= len(data), "read past the end of the file"
        return data[offset : offset + nbytes]

    return read_header(read, len(data), "model.gguf")


def whole_file(kvs: tuple[KV, ...] = KVS, alignment: int = 32) -> bytes:
    found, _, total = entries(alignment)
    return encode_header(kvs, found) + bytes(total)


def write_with_the_package(path: Path) -> bytes:
    writer = gguf.GGUFWriter(path, "llama")
    for kv in KVS[1:]:
        if kv.type in SCALAR_IDS:
            writer.add_key_value(kv.key, kv.value, GGUF_TYPES[kv.type])
        elif kv.value:
            element = GGUF_TYPES[kv.type[len("ARRAY[") : -1]]
            writer.add_key_value(kv.key, list(kv.value), gguf.GGUFValueType.ARRAY, element)
    for name, (kind, shape) in TENSORS.items():
        row = GGML_TYPES[kind].row_nbytes(shape[-1])
        data = np.zeros((*shape[:-1], row), np.uint8)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_the_bytes_are_those_of_the_gguf_package(tmp_path: Path) -> None:
    # The package has no bytes for an empty array.
    kvs = tuple(kv for kv in KVS if kv.value != ())
    assert whole_file(kvs) == write_with_the_package(tmp_path / "model.gguf")


def test_the_gguf_package_reads_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    kvs = tuple(kv for kv in KVS if kv.value != ())
    path.write_bytes(whole_file(kvs))
    reader = gguf.GGUFReader(path)
    tensors, _, _ = entries()
    data_start = len(encode_header(kvs, tensors))
    assert [t.name for t in reader.tensors] == list(TENSORS)
    for found, entry in zip(reader.tensors, tensors, strict=True):
        assert tuple(int(n) for n in found.shape[::-1]) == entry.shape
        assert found.tensor_type.name == entry.type
        assert found.data_offset == data_start + entry.offset
    for kv in kvs:
        if kv.key == "a.bytes":
            continue  # the package decodes every string as UTF-8
        value = reader.fields[kv.key].contents()
        if kv.type == "FLOAT32":
            assert value == np.float32(kv.value)
        elif kv.type == "ARRAY[FLOAT32]":
            assert value == [np.float32(v) for v in kv.value]
        else:
            assert value == (list(kv.value) if isinstance(kv.value, tuple) else kv.value)


def test_what_is_written_reads_back_in_order() -> None:
    data = whole_file()
    found, sizes, _ = entries()
    header = header_of(data)
    assert header.alignment == 32
    assert header.data_start == len(encode_header(KVS, found))
    assert [kv.key for kv in header.kvs] == [kv.key for kv in KVS]
    assert encode_header(header.kvs, found) == encode_header(KVS, found)
    assert dict(zip([kv.key for kv in header.kvs], header.kvs, strict=True))["a.bytes"] == array(
        "a.bytes", "STRING", [b"\xff", "text"]
    )
    for tensor, entry, nbytes in zip(header.tensors.values(), found, sizes, strict=True):
        assert (tensor.name, tensor.dtype, tensor.shape) == (entry.name, entry.type, entry.shape)
        assert (tensor.offset, tensor.nbytes) == (header.data_start + entry.offset, nbytes)
        assert tensor.file == "model.gguf"


@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_another_alignment_is_written_and_read(alignment: int) -> None:
    kvs = (*KVS, u32("general.alignment", alignment))
    found, _, _ = entries(alignment)
    header = header_of(whole_file(kvs, alignment))
    assert header.alignment == alignment
    assert header.data_start % alignment == 0
    for tensor, entry in zip(header.tensors.values(), found, strict=True):
        assert tensor.offset == header.data_start + entry.offset
        assert entry.offset % alignment == 0


@given(st.lists(st.integers(0, 10_000), max_size=20), st.sampled_from([1, 32, 64]))
def test_offsets_are_aligned_touch_nothing_and_waste_less_than_one_alignment(
    sizes: list[int], alignment: int
) -> None:
    offsets, total = data_offsets(sizes, alignment)
    ends = [*offsets[1:], total]
    for offset, nbytes, end in zip(offsets, sizes, ends, strict=False):
        assert offset % alignment == 0
        assert 0 <= end - (offset + nbytes) < alignment
    assert total == sum(pad(nbytes, alignment) for nbytes in sizes)


def test_a_large_vocabulary_is_read_as_it_was_written() -> None:
    kvs = (
        array("tokens", "STRING", [f"token {i}" for i in range(262_144)]),
        array("scores", "FLOAT32", [float(-i) for i in range(262_144)]),
        array("types", "INT32", [1] * 262_144),
    )
    data = encode_header(kvs, [])
    header = header_of(data)
    assert header.kvs == kvs


def test_version_2_reads_like_version_3() -> None:
    data = bytearray(whole_file())
    data[4:8] = struct.pack("<I", 2)
    assert header_of(bytes(data)) == header_of(whole_file())


def test_the_last_tensor_need_not_be_padded() -> None:
    data = whole_file()
    padding = pad(2, 32) - 2  # the last tensor is one BF16 number
    assert header_of(data[:-padding]) == header_of(data)
    with pytest.raises(CheckpointError, match="at least 1 of") as caught:
        header_of(data[: -padding - 1])
    assert caught.value.code == "truncated-file"


def preamble(n_tensors: int, n_kvs: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_kvs)


def text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def kv_bytes(key: bytes, number: int, body: bytes) -> bytes:
    return text(key) + struct.pack("<I", number) + body


def info_bytes(
    name: bytes = b"a", dims: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0, **more: int
) -> bytes:
    n_dims = more.get("n_dims", len(dims))
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", n_dims, *dims, kind, offset)


def with_tensors(*infos: bytes, nbytes: int = 64) -> bytes:
    header = preamble(len(infos), 0) + b"".join(infos)
    return header.ljust(pad(len(header), 32), b"\0") + bytes(nbytes)


def with_kvs(*kvs: bytes) -> bytes:
    return preamble(0, len(kvs)) + b"".join(kvs) + bytes(64)


U32_7 = struct.pack("<I", 7)
REFUSED: dict[str, tuple[str, bytes]] = {
    "another format": ("bad-gguf", b"GGML" + bytes(60)),
    "nothing": ("truncated-file", b""),
    "only magic": ("truncated-file", b"GGUF\3\0\0\0"),
    "version 1": ("gguf-version", preamble(0, 0, version=1)),
    "version 4": ("gguf-version", preamble(0, 0, version=4)),
    "big endian": ("gguf-version", preamble(0, 0, version=3 << 24)),
    "more key-values than bytes": ("truncated-file", preamble(0, 2**63)),
    "more tensors than bytes": ("truncated-file", preamble(2**63, 0)),
    "a key longer than the file": ("truncated-file", with_kvs(struct.pack("<Q", 2**62))),
    "a key that is not UTF-8": ("bad-gguf", with_kvs(kv_bytes(b"\xff", 4, U32_7))),
    "an unknown value type": ("bad-gguf", with_kvs(kv_bytes(b"a", 13, U32_7))),
    "an unknown element type": (
        "bad-gguf",
        with_kvs(kv_bytes(b"a", 9, struct.pack("<IQ", 99, 1) + U32_7)),
    ),
    "an array of arrays": (
        "bad-gguf",
        with_kvs(kv_bytes(b"a", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 4, 0))),
    ),
    "an array longer than the file": (
        "truncated-file",
        with_kvs(kv_bytes(b"a", 9, struct.pack("<IQ", 4, 2**61))),
    ),
    "a string array longer than the file": (
        "truncated-file",
        with_kvs(kv_bytes(b"a", 9, struct.pack("<IQ", 8, 2**61))),
    ),
    "a bool of 2": ("bad-gguf", with_kvs(kv_bytes(b"a", 7, b"\2"))),
    "a key twice": ("bad-gguf", with_kvs(kv_bytes(b"a", 4, U32_7), kv_bytes(b"a", 4, U32_7))),
    "an alignment of 7": ("bad-gguf", with_kvs(kv_bytes(b"general.alignment", 4, U32_7))),
    "an alignment of 0": ("bad-gguf", with_kvs(kv_bytes(b"general.alignment", 4, bytes(4)))),
    "an alignment that is a string": (
        "bad-gguf",
        with_kvs(kv_bytes(b"general.alignment", 8, text(b"32"))),
    ),
    "five dimensions": ("bad-gguf", with_tensors(info_bytes(dims=(1, 1, 1, 1, 1)))),
    "billions of dimensions": ("bad-gguf", with_tensors(info_bytes(n_dims=2**32 - 1))),
    "dimensions beyond 64 bits": ("bad-gguf", with_tensors(info_bytes(dims=(2**32, 2**32)))),
    "half a block": ("bad-gguf", with_tensors(info_bytes(dims=(48,), kind=8))),
    "an unknown ggml type": ("unknown-type", with_tensors(info_bytes(kind=77))),
    "a removed ggml type": ("unknown-type", with_tensors(info_bytes(kind=4))),
    "a tensor twice": ("bad-gguf", with_tensors(info_bytes(), info_bytes(offset=32))),
    "an offset that is not aligned": ("bad-gguf", with_tensors(info_bytes(offset=4))),
    "an overlap": (
        "bad-gguf",
        with_tensors(info_bytes(dims=(16,)), info_bytes(b"b", offset=32)),
    ),
    "data beyond the end": ("truncated-file", with_tensors(info_bytes(dims=(17,)))),
    "an offset beyond the end": ("truncated-file", with_tensors(info_bytes(offset=2**62))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_contradicts_itself_is_refused(case: str) -> None:
    reference, data = REFUSED[case]
    with pytest.raises(QuantizeError) as caught:
        header_of(data)
    assert caught.value.code == reference
    assert str(caught.value).startswith("model.gguf")


def test_tensors_may_stand_in_any_order_with_holes() -> None:
    header = header_of(with_tensors(info_bytes(offset=64), info_bytes(b"b"), nbytes=96))
    assert [t.offset - header.data_start for t in header.tensors.values()] == [64, 0]


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(tail: bytes) -> None:
    for data in (tail, preamble(1, 1) + tail, with_tensors(info_bytes()) + tail):
        with contextlib.suppress(CheckpointError, UnsupportedError):
            header_of(data)


def test_every_cut_and_every_flipped_byte_is_refused_or_read_never_a_crash() -> None:
    data = whole_file()
    header_end = header_of(data).data_start
    for end in range(header_end):
        with pytest.raises(CheckpointError):
            header_of(data[:end])
    for at in range(header_end):
        flipped = bytearray(data)
        flipped[at] ^= 0xFF
        with contextlib.suppress(CheckpointError, UnsupportedError):
            header_of(bytes(flipped))


def test_big_endian_is_named() -> None:
    with pytest.raises(UnsupportedError, match="big-endian"):
        header_of(preamble(0, 0, version=3 << 24))


@pytest.mark.parametrize(
    "kv",
    [u32("a", -1), u32("a", 2**32), i32("a", 2**31), f32("a", 1e39), array("a", "UINT8", [256])],
)
def test_a_value_that_does_not_fit_its_type_is_refused_with_its_key(kv: KV) -> None:
    with pytest.raises(CheckpointError) as caught:
        encode_header([kv], [])
    assert (caught.value.code, caught.value.where) == ("bad-value", "a")


@pytest.mark.parametrize(
    ("name", "shape"), [("n" * 64, (1,)), ("a", (1, 1, 1, 1, 1)), ("ü" * 32, (1,))]
)
def test_a_tensor_that_gguf_cannot_hold_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError) as caught:
        encode_header([], [TensorEntry(name, shape, "F32", 0)])
    assert (caught.value.code, caught.value.where) == ("no-gguf-tensor", name)


@pytest.mark.parametrize(
    ("kvs", "tensors"),
    [
        ([u32("a", 1), u32("a", 1)], []),
        ([], [TensorEntry("a", (1,), "F32", 0), TensorEntry("a", (1,), "F32", 32)]),
        ([], [TensorEntry("a", (1,), "F32", 16)]),
        ([u32("general.alignment", 48)], []),
    ],
)
def test_contradictory_headers_are_never_written(kvs: list[KV], tensors: list[TensorEntry]) -> None:
    with pytest.raises(ValueError, match=r"twice|multiple|power of two"):
        encode_header(kvs, tensors)


def test_the_layout_explains_the_size_of_every_file_that_llama_cpp_made(kit: Path) -> None:
    """Files of one model and route differ in tensor types only: headers are equally long."""
    for path in sorted((kit / "expected").glob("*.json")):
        facts = json.loads(path.read_text())
        headers: dict[str, set[int]] = {}
        for label, made in facts["files"].items():
            route = label.split("/")[1]
            sizes = []
            for tensor in facts["tensors"].values():
                ne = tensor["ne"] if route == "convert" else tensor.get("ne_quantize", tensor["ne"])
                sizes.append(tensor_nbytes(tensor["in"][label].split("@")[0], tuple(ne[::-1])))
            headers.setdefault(route, set()).add(made["bytes"] - data_offsets(sizes, 32)[1])
        for route, lengths in headers.items():
            assert len(lengths) == 1, f"{path.stem} {route}: {lengths}"
            assert min(lengths) % 32 == 0
