"""--refine embedding: the metric by its definition, and files made with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize import api
from quantize.arrays import F32Array
from quantize.errors import QuantizeError
from quantize.execution.rows import planned_rows
from quantize.formats.gguf_read import read_header
from quantize.options import PlanOptions
from quantize.planning.plan import Plan
from quantize.progress import NullProgress
from quantize.publish.card import CardFacts, CardFile, model_card
from quantize.refining.embedding import embedding_metric
from quantize.verbs.common.preparing import Prepared, prepare
from tests.support.cli_runner import Cli
from tests.support.paths import ROOT

Checkpoint = Callable[[str], Path]
EMBEDDING = "token_embd.weight"


def prepared(source: Path, refine: str | None = None) -> Prepared:
    return prepare(str(source), PlanOptions(types=("F32",), refine=refine))


def values(ready: Prepared, name: str) -> NDArray[np.float64]:
    (tensor,) = [one for one in ready.plans[0].tensors if one.name == name]
    rows = planned_rows(ready.opened.source, tensor, 0, tensor.rows, 1 << 20)
    return np.asarray(rows, np.float64).reshape(tensor.full_shape)


def names(plan: Plan) -> set[str]:
    return {tensor.name for tensor in plan.tensors}


def scaled(metric: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(metric / np.trace(metric) * len(metric))


def made(ready: Prepared) -> F32Array:
    return embedding_metric(ready.plans[0], ready.opened.source, NullProgress())


def test_the_metric_sums_what_each_block_reads(tinyrust: Path) -> None:
    ready = prepared(tinyrust)
    expected = np.zeros((256, 256))
    for block in range(8):
        for norm, matrices in (
            ("attn_norm", ("attn_q", "attn_k", "attn_v")),
            ("ffn_norm", ("ffn_gate", "ffn_up")),
        ):
            gains = values(ready, f"blk.{block}.{norm}.weight").reshape(-1)
            for matrix in matrices:
                read = values(ready, f"blk.{block}.{matrix}.weight") * gains
                expected += read.T @ read / (block + 1) ** 2
    np.testing.assert_allclose(made(ready), scaled(expected), atol=2**-16)


def test_experts_count_by_how_many_a_token_goes_to(checkpoint: Checkpoint) -> None:
    ready = prepared(checkpoint("mixtral-8x"))
    plan = ready.plans[0]
    share = plan.kvs.hparam("expert_used_count") / plan.kvs.hparam("expert_count")
    assert 0 < share < 1
    cols = plan.kvs.hparam("embedding_length")
    expected = np.zeros((cols, cols))
    for block in range(plan.kvs.hparam("block_count")):
        for norm, matrices in (
            ("attn_norm", ("attn_q", "attn_k", "attn_v")),
            ("ffn_norm", ("ffn_gate_exps", "ffn_up_exps")),
        ):
            gains = values(ready, f"blk.{block}.{norm}.weight").reshape(-1)
            for matrix in matrices:
                stack = values(ready, f"blk.{block}.{matrix}.weight")
                read = stack.reshape(-1, stack.shape[-1]) * gains
                expected += read.T @ read / (block + 1) ** 2 * (share if stack.ndim == 3 else 1)
    np.testing.assert_allclose(made(ready), scaled(expected), atol=2**-16)


def test_a_tied_embedding_is_the_output_matrix_too(checkpoint: Checkpoint) -> None:
    ready = prepared(checkpoint("gemma3-text"))
    assert "output.weight" not in names(ready.plans[0])
    metric = made(ready).astype(np.float64)
    gains = values(ready, "output_norm.weight").reshape(-1)
    # Both halves have the same trace, so what is left of the diagonal is positive.
    rest = 2 * metric - np.diag(gains * gains / np.mean(gains * gains))
    assert np.linalg.eigvalsh(rest).min() > -1e-3
    assert np.trace(rest) == pytest.approx(len(rest), rel=1e-3)


@pytest.mark.parametrize("name", ["bert", "olmo2"])
def test_unknown_readers_are_refused_before_a_weight_is_read(
    name: str, checkpoint: Checkpoint
) -> None:
    with pytest.raises(QuantizeError) as caught:
        prepared(checkpoint(name), refine="embedding")
    assert caught.value.code == "unknown-readers"


def test_a_file_is_the_same_from_all_kernels_and_any_number_of_workers(
    tinyrust: Path, tmp_path: Path, cli: Cli
) -> None:
    digests = set()
    for number, (kernels, jobs) in enumerate((("numba", 3), ("numpy", 1))):
        output = tmp_path / str(number)
        options = api.Options(
            types=("Q4_K_M",), refine="embedding", kernels=kernels, jobs=jobs, output=output
        )
        (file,) = api.convert(str(tinyrust), options).files
        digests.add(hashlib.sha256(file.path.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert sorted(path.name for path in output.iterdir()) == [
        "Modelfile", "manifest.json", "tinyrust-Q4_K_M.gguf",
    ]  # fmt: skip
    checked = api.verify(file.path, str(tinyrust))
    assert checked.compared == checked.tensors
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["options"]["refine"] == {"kind": "embedding", "sweeps": 4, "version": 1}
    assert "quantize.refine.kind" in cli("inspect", str(file.path)).out


def test_nothing_but_the_embedding_changes(tinyrust: Path, models: Path, tmp_path: Path) -> None:
    expected = json.loads((models / "tinyrust" / "expected.json").read_text())["files"]["Q3_K_M"]
    options = api.Options(types=("Q3_K_M",), refine="embedding", output=tmp_path)
    (file,) = api.convert(str(tinyrust), options).files
    data = file.path.read_bytes()
    header = read_header(lambda offset, n: data[offset : offset + n], len(data), "made")
    other = {
        tensor.name
        for tensor in header.tensors.values()
        if [
            tensor.dtype,
            hashlib.sha256(data[tensor.offset : tensor.offset + tensor.nbytes]).hexdigest(),
        ]
        != expected["tensors"][tensor.name]
    }
    assert other == {EMBEDDING}


def test_predictions_stay_closer_to_the_model(tinyrust: Path, tmp_path: Path) -> None:
    """The bound of 0.85 is asked for on a longer text; this one is short and of another domain."""
    base = api.convert(str(tinyrust), api.Options(types=("F32",), output=tmp_path / "base"))
    divergence = {}
    for refine in (None, "embedding"):
        output = tmp_path / str(refine)
        options = api.Options(types=("Q4_K_M",), refine=refine, output=output)
        (file,) = api.convert(str(tinyrust), options).files
        found = api.perplexity(
            file.path, ROOT / "LICENSE", base=base.files[0].path, context=128, chunks=10, jobs=1
        )
        assert found.comparison is not None
        divergence[refine] = found.comparison.divergence.mean.value
    assert divergence["embedding"] < 0.92 * divergence[None]


def test_the_card_does_not_claim_llama_quantizes_bytes(tinyrust: Path) -> None:
    facts = CardFacts("m", "user/m", prepared(tinyrust).plans[0].kvs)
    plain = CardFile("m-Q4_K_M.gguf", "Q4_K_M", 1, 4.5, "0")
    refined = CardFile("m-Q4_K_M.gguf", "Q4_K_M", 1, 4.5, "0", refinement="--refine embedding")
    assert "llama.cpp's own converter and quantizer write" in model_card(facts, [plain])
    text = model_card(facts, [refined])
    assert "llama.cpp's own converter and quantizer write" not in text
    assert "--refine embedding" in text
