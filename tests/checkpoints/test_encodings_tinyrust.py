"""A real model, packed here in four ways: llama.cpp finds in our file what was packed.

The packers are the formats' definitions turned around, written against their layouts alone. Each
also gives the values that a library decodes from what it packs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from quantize import api
from quantize.checkpoints.checkpoint import open_checkpoint
from quantize.storage.local import LocalFolder
from quantize.tensors import as_rows
from tests.support.engine import EXACT, log_probabilities, serve
from tests.support.paths import DATA

Array = NDArray[Any]
# The tensors of a module by the ends of their names, and what they decode to.
Packed = tuple[dict[str, Array], NDArray[np.float32]]

GROUP = 64
BLOCK = 128
# QLoRA (arXiv 2305.14314), appendix E.
NF4 = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
], np.float32)  # fmt: skip
E4M3 = np.array(
    [(m + 8 * (e > 0)) * 2.0 ** (max(e, 1) - 10) for e in range(16) for m in range(8)][:127],
    np.float32,
)


def words(codes: Array, places: Array) -> Array:
    """Codes `(n, 8)` as 32-bit words, code k at nibble `places[k]`."""
    shifted = codes.astype(np.uint32) << (4 * places).astype(np.uint32)
    packed: Array = np.bitwise_or.reduce(shifted, axis=1)
    return packed.view(np.int32)


def grouped(weight: NDArray[np.float32]) -> Array:
    return weight.reshape(len(weight), -1, GROUP)


def gptq(weight: NDArray[np.float32]) -> Packed:
    rows, cols = weight.shape
    scale = (np.abs(grouped(weight)).max(axis=2) / 7).astype(np.float16)
    wide = scale.astype(np.float32)[:, :, None]
    codes = np.clip(np.rint(grouped(weight) / wide) + 8, 0, 15).reshape(rows, cols)
    down = codes.T.reshape(cols // 8, 8, rows).transpose(0, 2, 1).reshape(-1, 8)
    zeros = np.full((cols // GROUP, rows // 8), 0x77777777, np.int32)
    parts = {
        "qweight": words(down, np.arange(8)).reshape(cols // 8, rows),
        "qzeros": zeros,
        "scales": np.ascontiguousarray(scale.T),
        "g_idx": (np.arange(cols) // GROUP).astype(np.int32),
    }
    return parts, ((grouped(codes) - 8) * wide).astype(np.float32).reshape(rows, cols)


def awq(weight: NDArray[np.float32]) -> Packed:
    rows, cols = weight.shape
    low = np.minimum(grouped(weight).min(axis=2), 0)
    high = np.maximum(grouped(weight).max(axis=2), 0)
    scale = ((high - low) / 15).astype(np.float16)
    wide = scale.astype(np.float32)
    zero = np.clip(np.rint(-low / wide), 0, 15)
    codes = np.clip(np.rint(grouped(weight) / wide[:, :, None]) + zero[:, :, None], 0, 15)
    # Row 8j + r of a word is at this nibble.
    places = np.argsort([0, 2, 4, 6, 1, 3, 5, 7])
    parts = {
        "qweight": words(codes.reshape(rows, cols).T.reshape(-1, 8), places).reshape(cols, -1),
        "qzeros": words(zero.T.reshape(-1, 8), places).reshape(cols // GROUP, -1),
        "scales": np.ascontiguousarray(scale.T),
    }
    values = (codes - zero[:, :, None]) * wide[:, :, None]
    return parts, values.astype(np.float32).reshape(rows, cols)


def nf4(weight: NDArray[np.float32]) -> Packed:
    blocks = weight.reshape(-1, GROUP)
    absmax = np.abs(blocks).max(axis=1)
    codes = np.abs(blocks[:, :, None] / absmax[:, None, None] - NF4).argmin(axis=2)
    flat = codes.reshape(-1, 2).astype(np.uint8)
    state = {
        "quant_type": "nf4", "blocksize": GROUP, "dtype": "bfloat16", "shape": list(weight.shape)
    }  # fmt: skip
    parts = {
        "weight": (flat[:, 0] << 4 | flat[:, 1])[:, None],
        "weight.absmax": absmax,
        "weight.quant_map": NF4,
        "weight.quant_state.bitsandbytes__nf4": np.frombuffer(json.dumps(state).encode(), np.uint8),
    }
    return parts, (NF4[codes] * absmax[:, None]).reshape(weight.shape)


def fp8(weight: NDArray[np.float32]) -> Packed:
    rows, cols = weight.shape
    tiles = weight.reshape(rows // BLOCK, BLOCK, cols // BLOCK, BLOCK)
    scale = np.abs(tiles).max(axis=(1, 3)) / E4M3[-1]
    spread = scale.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    middles = (E4M3[1:] + E4M3[:-1]) / 2
    codes = np.searchsorted(middles, np.abs(weight / spread)).astype(np.uint8)
    values = np.where(weight < 0, -E4M3[codes], E4M3[codes]) * spread
    signed = codes | (weight < 0).astype(np.uint8) << 7
    return {"weight": signed, "weight_scale_inv": scale}, values.astype(np.float32)


FORMATS: Mapping[str, tuple[Callable[[NDArray[np.float32]], Packed], Mapping[str, Any]]] = {
    "gptq": (gptq, {"bits": 4, "group_size": GROUP, "sym": True, "desc_act": False}),
    "awq": (awq, {"bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}),
    "bitsandbytes": (nf4, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}),
    "fp8": (fp8, {"weight_block_size": [BLOCK, BLOCK]}),
}


@pytest.fixture(scope="session")
def contexts(request: pytest.FixtureRequest) -> list[list[int]]:
    """Beginnings of three texts, as token ids."""
    file = DATA / "adapters" / "tinyrust-lora" / "expected.json"
    entries = json.loads(file.read_text("utf-8"))
    return [entry["prompt"] + entry["tokens"][:n] for entry in entries for n in (0, 7, 19)]


@pytest.fixture(scope="session")
def divergence(
    tinyrust: Path, contexts: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], float]:
    """The mean Kullback-Leibler divergence of a GGUF file from the original in F32."""
    options = api.Options(types=("F32",), output=tmp_path_factory.mktemp("original"))
    original = probabilities(api.convert(str(tinyrust), options).files[0].path, contexts)

    def measure(file: Path) -> float:
        return float(np.mean(list(_divergences(original, probabilities(file, contexts)))))

    return measure


def probabilities(file: Path, contexts: list[list[int]]) -> list[NDArray[np.float64]]:
    server = serve(file, **EXACT)
    return [log_probabilities(server, ids) for ids in contexts]


def _divergences(
    original: list[NDArray[np.float64]], other: list[NDArray[np.float64]]
) -> Iterator[float]:
    for p, q in zip(original, other, strict=True):
        # Probabilities too small for the server to report as numbers weigh nothing.
        known = np.isfinite(p) & np.isfinite(q)
        yield float(np.sum(np.exp(p[known]) * (p[known] - q[known])))


@pytest.mark.parametrize("method", FORMATS)
def test_a_packed_model_diverges_as_its_decoded_weights_do(
    method: str, tinyrust: Path, tmp_path: Path, divergence: Callable[[Path], float]
) -> None:
    pack, settings = FORMATS[method]
    source = open_checkpoint(LocalFolder(tinyrust), "tinyrust")
    packed: dict[str, Array] = {}
    plain: dict[str, Array] = {}
    for name, weight in source.weights.items():
        values = source.decode_rows(name, 0, as_rows(weight.shape)[0]).reshape(weight.shape)
        plain[name] = values
        if name.endswith("_proj.weight"):
            parts, plain[name] = pack(values)
            module = name.removesuffix("weight")
            packed |= {module + end: np.ascontiguousarray(part) for end, part in parts.items()}
        else:
            packed[name] = values
    folders = {"packed": packed, "plain": plain}
    config = {"quant_method": method, **settings}
    for side, tensors in folders.items():
        folder = tmp_path / side / "tinyrust"
        copy_model(tinyrust, folder, tensors, config if side == "packed" else None)
    files = [
        api.convert(
            str(tmp_path / side / "tinyrust"),
            api.Options(types=("Q8_0",), output=tmp_path / f"{side}-out"),
        ).files[0]
        for side in folders
    ]
    ours, theirs = (divergence(file.path) for file in files)
    assert ours == theirs
    q2_k = api.Options(types=("Q2_K",), output=tmp_path / "q2_k")
    # Four and eight bits a weight lose something, and less than two to three do.
    assert 0 < ours < divergence(api.convert(str(tinyrust), q2_k).files[0].path)


def copy_model(
    source: Path, target: Path, tensors: dict[str, Array], quantization: Mapping[str, Any] | None
) -> None:
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            (target / file.name).write_bytes(file.read_bytes())
    if quantization is not None:
        config = json.loads((source / "config.json").read_text("utf-8"))
        config["quantization_config"] = dict(quantization)
        (target / "config.json").write_text(json.dumps(config), "utf-8")
    weights = target / "model.safetensors"
    save_file(tensors, weights)
    if quantization is not None and quantization["quant_method"] == "fp8":
        declare_float8(weights)


def declare_float8(file: Path) -> None:
    """NumPy has no 8-bit floats: call the bytes of the codes what they are."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + size].replace(b'"dtype":"U8"', b'"dtype":"F8_E4M3"')
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
