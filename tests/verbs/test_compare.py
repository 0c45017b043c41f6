"""`quantize compare`: the measures are those of the decoded tensors, and differences are named."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantize import api
from quantize.errors import CheckpointError, QuantizeError, UnsupportedError, UsageError
from quantize.execution.error_sums import ONE, TensorQuality
from quantize.formats.gguf import TensorEntry, encode_header
from quantize.formats.kv import KV, array, f32, string, u32
from quantize.measuring.grouped import MeasuredTensor, total, totals
from quantize.measuring.tensor_errors import Job, run_within
from quantize.tensors import tensor_nbytes
from quantize.verbs.common.comparison import Comparison
from quantize.verbs.compare import check_within, compare
from tests.support import process_memory
from tests.support.compared import MODEL, made
from tests.support.gguf_files import KVS, write_gguf
from tests.support.hub_client import connect
from tests.support.hub_server import HubServer, Repo
from tests.support.paths import ROOT

__all__ = ["made"]

Folder = Callable[[str], Path]
Arrays = dict[str, NDArray[np.float32]]
# Fused and stacked tensors, permuted heads, transposed matrices, shifted norms, made-up tensors.
TRANSFORMED = ("gpt2", "phi3-longrope", "mixtral-8x", "gemma2", "mamba", "qwen3next", "gptoss")


def decoded(path: Path) -> Arrays:
    """All tensors as the gguf package decodes them."""
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).reshape(-1)
        for tensor in gguf.GGUFReader(path).tensors
    }


def rows(n: int, cols: int = 32, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, cols), np.float32)


def test_the_measures_are_those_of_the_decoded_tensors(
    checkpoint: Folder, made: dict[str, Path]
) -> None:
    a, b = decoded(made["F32"]), decoded(made["Q4_K_M"])
    for reference in (str(checkpoint(MODEL)), str(made["F32"])):
        found = compare(reference, str(made["Q4_K_M"]))
        assert {tensor.name for tensor in found.measured} == set(a) == set(b)
        for tensor in found.measured:
            x, y = (side[tensor.name].astype(np.float64) for side in (a, b))
            error = np.sqrt(np.mean((x - y) ** 2) / np.mean(x**2))
            assert tensor.quality.relative_rms == pytest.approx(error, rel=1e-9)
            assert tensor.quality.largest == np.abs(x - y).max()
            cosine = np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y)
            assert tensor.quality.cosine == pytest.approx(cosine, abs=1e-12)
        assert found.tensors == ()


def test_a_checkpoint_differs_from_its_file_by_the_types_alone(
    checkpoint: Folder, made: dict[str, Path]
) -> None:
    found = compare(str(checkpoint(MODEL)), str(made["Q4_K_M"]))
    assert found.kvs == ()
    assert (found.reference.kind, found.other.kind) == ("checkpoint", "gguf")
    assert found.reference.n_params == found.other.n_params
    by_type = totals(found.measured, lambda tensor: tensor.type)
    assert by_type["F32"].quality.exact
    assert by_type["Q6_K"].quality.severity < by_type["Q4_K"].quality.severity
    assert sum(found.other.nbytes_by_type.values()) == sum(
        tensor.n_bytes for tensor in gguf.GGUFReader(made["Q4_K_M"]).tensors
    )


@pytest.mark.parametrize("name", TRANSFORMED)
def test_a_file_in_full_precision_is_its_checkpoint(
    checkpoint: Folder, tmp_path: Path, name: str, small_tasks: None
) -> None:
    folder = checkpoint(name)
    options = api.Options(types=("F32",), output=tmp_path, kernels="numpy")
    (file,) = api.convert(str(folder), options).files
    for sides in ((folder, file.path), (file.path, folder)):
        found = compare(str(sides[0]), str(sides[1]))
        assert (found.kvs, found.tensors) == ((), ())
        assert len(found.measured) == found.comparable > 10
        assert [tensor.name for tensor in found.measured if not tensor.quality.exact] == []


def test_how_the_work_is_cut_changes_nothing(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = str(made["F32"]), str(made["Q4_K_M"])
    whole = compare(*sides, api.CompareOptions(jobs=1))
    monkeypatch.setattr("quantize.execution.memory.LARGEST_STEP", 1000)
    cut = compare(*sides, api.CompareOptions(jobs=3))
    for one, other in zip(whole.measured, cut.measured, strict=True):
        assert one.name == other.name
        assert one.quality == other.quality


def test_a_sample_is_the_same_in_every_run(made: dict[str, Path]) -> None:
    sides = str(made["F32"]), str(made["Q4_K_M"])
    first, second = (compare(*sides, sample=5) for _ in range(2))
    assert [t.name for t in first.measured] == [t.name for t in second.measured]
    assert (len(first.measured), first.comparable) == (5, len(decoded(made["F32"])))


def two(folder: Path, a: Arrays, b: Arrays, kvs: tuple[KV, ...] = KVS) -> Comparison:
    first, second = write_gguf(folder / "a.gguf", a), write_gguf(folder / "b.gguf", b, kvs)
    return compare(str(first), str(second))


def test_missing_tensors_and_other_shapes_are_told(tmp_path: Path) -> None:
    a = {"both": rows(4), "first": rows(2), "shape": rows(3), "flat": rows(2).reshape(-1)}
    b = {"both": rows(4), "shape": rows(4), "second": rows(2), "flat": rows(2)}
    found = two(tmp_path, a, b)
    assert [(one.name, one.reference, one.other) for one in found.tensors] == [
        ("first", (2, 32), None),
        ("shape", (3, 32), (4, 32)),
        ("flat", (64,), (2, 32)),
        ("second", None, (2, 32)),
    ]
    assert [tensor.name for tensor in found.measured] == ["both"]


def test_leading_dimensions_of_1_do_not_count(tmp_path: Path) -> None:
    """ggml does not count them; a quantizer leaves them out, and a row becomes a vector."""
    quantized = write_gguf(tmp_path / "b.gguf", {"t": rows(1, 64)}, types={"t": "Q8_0"})
    for shape in ((64,), (1, 64), (1, 1, 64)):
        values = rows(1, 64).reshape(shape)
        found = compare(str(write_gguf(tmp_path / "a.gguf", {"t": values})), str(quantized))
        assert found.tensors == ()
        (tensor,) = found.measured
        assert 0 < tensor.quality.severity < 0.01


def test_key_values_that_differ_are_told(tmp_path: Path) -> None:
    same = (string("general.architecture", "llama"), f32("x.eps", 1e-5))
    a = (*same, u32("x.n", 3), u32("x.type", 3), array("x.list", "INT32", range(99)))
    b = (*same, u32("x.n", 4), KV("x.type", "INT32", 3), string("x.new", "here"))
    tensors = {"t": rows(2)}
    first = write_gguf(tmp_path / "a.gguf", tensors, a)
    found = compare(str(first), str(write_gguf(tmp_path / "b.gguf", tensors, b)))
    assert [(one.key, one.reference is None, one.other is None) for one in found.kvs] == [
        ("x.n", False, False),
        ("x.type", False, False),
        ("x.list", False, True),
        ("x.new", True, False),
    ]


def test_values_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    spoiled = rows(4)
    spoiled[1, 2:4] = np.nan, np.inf
    (tensor,) = two(tmp_path, {"t": rows(4)}, {"t": spoiled}).measured
    assert (tensor.quality.reference_not_finite, tensor.quality.not_finite) == (0, 2)
    assert tensor.quality.count == 126
    assert tensor.quality.largest == 0
    assert tensor.quality.severity == math.inf


def test_tensors_of_one_name_are_compared_whatever_their_types(tmp_path: Path) -> None:
    values = {"t": rows(8, 256)}
    a = write_gguf(tmp_path / "a.gguf", values, types={"t": "Q8_0"})
    b = write_gguf(tmp_path / "b.gguf", values, types={"t": "Q2_K"})
    (tensor,) = compare(str(a), str(b)).measured
    assert (tensor.reference_type, tensor.type) == ("Q8_0", "Q2_K")
    x, y = decoded(a)["t"], decoded(b)["t"]
    assert tensor.quality.largest == np.abs(x.astype(np.float64) - y).max()


@pytest.mark.parametrize("dtype", ["i1", "<i2", "<i4", "<i8", "<f8"])
def test_plain_numbers_are_compared_too(tmp_path: Path, dtype: str) -> None:
    """Tables of experts are integers; such a type has no blocks and no quantizer."""
    values = np.arange(-60, 60).reshape(4, 30).astype(dtype)
    a = write_gguf(tmp_path / "a.gguf", {"t": values})
    b = write_gguf(tmp_path / "b.gguf", {"t": values + np.eye(4, 30, dtype=dtype)})
    (same,) = compare(str(a), str(a)).measured
    (other,) = compare(str(a), str(b)).measured
    assert same.quality.exact
    assert other.quality.error == 4 * ONE
    assert other.quality.largest == 1
    assert other.quality.reference == int((values.astype(np.int64) ** 2).sum()) * ONE


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("blk.12.attn_q.weight", 12, "attn_q.weight"),
        ("enc.blk.0.ffn_up.weight", 0, "enc.ffn_up.weight"),
        ("token_embd.weight", None, "token_embd.weight"),
    ],
)
def test_layers_and_kinds(name: str, layer: int | None, kind: str) -> None:
    tensor = MeasuredTensor(name, (1,), "F32", "F32", TensorQuality(), 1)
    assert (tensor.layer, tensor.kind) == (layer, kind)


def test_a_total_is_that_of_all_values(tmp_path: Path) -> None:
    a = {"blk.0.x": rows(3), "blk.1.x": 5 * rows(9, seed=1)}
    b = {"blk.0.x": rows(3, seed=2), "blk.1.x": 5 * rows(9, seed=3)}
    found = two(tmp_path, a, b)
    x, y = (np.concatenate([side[n].reshape(-1) for n in a]).astype(np.float64) for side in (a, b))
    error = np.linalg.norm(x - y) / np.linalg.norm(x)
    (everything,) = totals(found.measured, lambda tensor: tensor.kind).values()
    assert everything == total(found.measured)
    assert everything.quality.relative_rms == pytest.approx(error, rel=1e-12)
    assert (everything.tensors, everything.weights) == (2, 12 * 32)


def sparse(path: Path, type: str) -> Path:
    """A file of one matrix of zeros that takes no room on the disk."""
    shape = (9_600, 8192)
    header = encode_header(KVS, [TensorEntry("token_embd.weight", shape, type, 0)])
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + tensor_nbytes(type, shape))
    return path


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Each side holds more bytes than both of them may take."""
    files = sparse(tmp_path / "a.gguf", "F16"), sparse(tmp_path / "b.gguf", "BF16")
    bound = 150_000_000
    assert min(file.stat().st_size for file in files) > bound
    options = ("--jobs", "2", "--max-memory", str(bound), "--json")
    command = [sys.executable, "-m", "quantize", "compare", *map(str, files), *options]
    ran = process_memory.measure(command, ROOT)
    assert '"comparison"' in ran.output
    assert ran.resident < bound


def test_a_repository_of_the_hub_is_a_side(
    checkpoint: Folder, made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in checkpoint(MODEL).iterdir()}
    with HubServer({f"org/{MODEL}": Repo(files)}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        found = compare(f"org/{MODEL}", str(made["F32"]))
        part = compare(str(made["Q4_K_M"]), f"org/{MODEL}", sample=2)
    assert (found.kvs, found.tensors) == ((), ())
    assert all(tensor.quality.exact for tensor in found.measured)
    assert len(part.measured) == 2


def refused(reference: Path, other: Path, max_memory: int | None = None) -> QuantizeError:
    with pytest.raises(QuantizeError) as raised:
        compare(str(reference), str(other), api.CompareOptions(max_memory=max_memory))
    return raised.value


def test_refusals(tmp_path: Path, checkpoint: Folder) -> None:
    good = write_gguf(tmp_path / "good.gguf", {"t": rows(4)})
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(good.read_bytes()[:-40])
    empty = tmp_path / "empty.gguf"
    empty.write_bytes(b"")
    stranger = write_gguf(tmp_path / "stranger.gguf", {"u": rows(4)})
    for wrong in (cut, empty):
        for sides in ((good, wrong), (wrong, good)):
            error = refused(*sides)
            assert isinstance(error, CheckpointError)
            assert wrong.name in str(error.where)
    assert refused(good, tmp_path / "absent.gguf").code == "no-such-source"
    assert refused(good, stranger).code == "nothing-in-common"
    assert refused(good, checkpoint(MODEL)).code == "nothing-in-common"
    assert isinstance(refused(good, good, max_memory=1000), UsageError)


def test_what_cannot_be_decoded_is_refused_by_name(tmp_path: Path) -> None:
    good = write_gguf(tmp_path / "good.gguf", {"t": rows(1)})
    vector = write_gguf(tmp_path / "v.gguf", {"t": rows(1).reshape(-1)}, types={"t": "Q8_0"})
    error = refused(good, vector)
    assert isinstance(error, UnsupportedError)
    assert (error.code, error.where) == ("quantized-vector", "v.gguf: t")


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 4))
def test_no_more_is_held_at_once_than_the_bound_allows(sizes: list[int], workers: int) -> None:
    held, most, lock = 0, 0, threading.Lock()

    def run(job: Job) -> TensorQuality:
        nonlocal held, most
        with lock:
            held += job.memory
            most = max(most, held)
        time.sleep(0.0001)
        with lock:
            held -= job.memory
        return TensorQuality(count=job.index)

    jobs = [Job(index, 0, 1, memory) for index, memory in enumerate(sizes)]
    with ThreadPoolExecutor(workers) as pool:
        done = run_within(pool, run, jobs, workers, 60)
    assert [quality.count for quality in done] == list(range(len(sizes)))
    assert most <= 60


def test_a_limit_names_the_worst_tensor(tmp_path: Path) -> None:
    a = {"fine": rows(4), "off": rows(4)}
    found = two(tmp_path, a, {"fine": rows(4), "off": rows(4) * np.float32(1.5)})
    check_within(found, 0.51)
    with pytest.raises(QuantizeError) as raised:
        check_within(found, 0.49)
    assert (raised.value.exit_code, raised.value.where) == (8, "off")
    assert raised.value.reason == "it is 50 %, and the limit 49 %"
    for b, where in (
        ({"fine": rows(4)}, "off"),
        ({"fine": rows(4), "off": rows(4) * np.nan}, "off"),
    ):
        with pytest.raises(QuantizeError) as raised:
            check_within(two(tmp_path, a, b), 9.9)
        assert raised.value.where == where
