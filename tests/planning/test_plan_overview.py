"""`quantize plan`: all types next to each other, from headers alone."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import UsageError
from quantize.formats.kv import KV, KeyValues
from quantize.planning.context_memory import context_memory
from quantize.planning.from_checkpoint import model_of
from quantize.planning.model import Model
from quantize.planning.overview import sizes
from quantize.planning.planner import make_plans
from quantize.recipes import FTYPES, plain
from quantize.sources.opening import open_source
from tests.support.cli_runner import Cli
from tests.support.hub_client import connect
from tests.support.hub_server import Content, HubServer, Repo
from tests.support.large_model import write_large_model

Folder = Callable[[str], Path]


def model(folder: Path) -> Model:
    source = open_source(str(folder)).source
    assert isinstance(source, Checkpoint)
    return model_of(source)


@pytest.mark.parametrize("name", ["llama31-bpe", "qwen3moe", "gpt2"])
def test_sizes_are_those_of_the_complete_plans(checkpoint: Folder, name: str) -> None:
    made = model(checkpoint(name))
    rows = sizes(made)
    plans = {}
    for file_type in FTYPES.values():
        with contextlib.suppress(UsageError):  # it needs an imatrix
            (plans[file_type.name],) = make_plans(made, [plain(file_type)])
    assert [row.file_type.name for row in rows] == list(plans)
    assert "Q2_K_S" not in plans
    for row, plan in zip(rows, plans.values(), strict=True):
        assert row.size == plan.size
        assert row.bits_per_weight == pytest.approx(plan.bits_per_weight, rel=1e-12)


def kvs(arch: str, **facts: int | tuple[int, ...]) -> KeyValues:
    found = [KV("general.architecture", "STRING", arch)]
    for key, value in facts.items():
        name = f"{arch}.{key.replace('__', '.')}"
        kind = "ARRAY[INT32]" if isinstance(value, tuple) else "UINT32"
        found.append(KV(name, kind, value))
    return KeyValues(found)


def test_a_cache_is_as_large_as_the_models_authors_say() -> None:
    # Llama 3.1 8B: 32 layers of 8 heads of 128, 2 bytes each: 128 KiB a token.
    llama = kvs(
        "llama", block_count=32, embedding_length=4096,
        attention__head_count=32, attention__head_count_kv=8,
    )  # fmt: skip
    assert context_memory(llama, 4096) == 4096 * 128 * 1024
    # DeepSeek-V3's report: latent attention keeps 512 + 64 numbers for a layer, 70.272 kB a token.
    deepseek = kvs(
        "deepseek2", block_count=61, embedding_length=7168, attention__head_count=128,
        attention__head_count_kv=1, attention__key_length=576, attention__value_length=512,
        attention__key_length_mla=192, attention__value_length_mla=128,
    )  # fmt: skip
    assert context_memory(deepseek, 4096) == 4096 * 70_272


def test_a_window_bounds_the_layers_that_have_one() -> None:
    def memory(context: int) -> int:
        facts = kvs(
            "x", block_count=2, embedding_length=128, attention__head_count=1,
            attention__sliding_window=1024, attention__sliding_window_pattern=(1, 0),
        )  # fmt: skip
        return context_memory(facts, context)

    assert memory(512) == 2 * 512 * 2 * 128 * 2
    # llama.cpp keeps the window and a batch of 512, padded to 256.
    assert memory(65536) == (1024 + 512 + 65536) * 2 * 128 * 2


def test_models_without_attention_or_causality_keep_no_cache() -> None:
    assert context_memory(kvs("bert", block_count=6, pooling_type=1), 512) == 0
    mamba = kvs(
        "mamba", block_count=2, embedding_length=64, attention__head_count=0,
        ssm__inner_size=128, ssm__state_size=16, ssm__conv_kernel=4,
    )  # fmt: skip
    # Two layers of 3 x 128 numbers of convolution and 16 x 128 of state, in F32.
    assert context_memory(mamba, 10**6) == 2 * (3 * 128 + 16 * 128) * 4


def test_the_table_has_every_type_with_its_exact_size(cli: Cli, llama: str) -> None:
    events = cli("plan", llama, "--json").events
    rows = [event for event in events if event["event"] == "size"]
    assert len(rows) > 20
    for name in ("Q4_K_M", "BF16"):
        (row,) = (row for row in rows if row["type"] == name)
        plan = cli("plan", llama, "--json", "-t", name).event("plan")
        assert row["size"] == plan["size"]
        assert row["bits_per_weight"] == pytest.approx(plan["bits_per_weight"])
        assert row["seconds"] > 0
    text = cli("plan", llama).out
    assert all(row["type"] in text for row in rows)


def test_fits_names_the_best_type(cli: Cli, llama: str) -> None:
    events = cli("plan", llama, "--json", "--context", "256").events
    memory = {event["type"]: event["memory"] for event in events if event["event"] == "size"}
    limit = memory["Q5_K_M"]
    fits = cli("plan", llama, "--json", "--context", "256", "--fits", str(limit)).event("fits")
    assert fits == {"event": "fits", "type": "Q5_K_M", "memory": limit, "limit": limit}
    assert (
        "Q5_K_M is the best type"
        in cli("plan", llama, "--context", "256", "--fits", str(limit)).out
    )


def test_a_longer_context_needs_more_memory(cli: Cli, llama: str) -> None:
    short, long = (
        cli("plan", llama, "--json", "--context", tokens).event("overview")["context_memory"]
        for tokens in ("256", "512")
    )
    assert long == 2 * short


def test_nothing_fits_into_nothing(cli: Cli, llama: str) -> None:
    ran = cli("plan", llama, "--fits", "1kB")
    assert ran.code == 2
    assert "error[nothing-fits]" in ran.err


@pytest.mark.parametrize("types", [[], ["-t", "Q4_K_M"]])
def test_a_plan_of_a_repository_transfers_headers_only(
    types: list[str],
    checkpoint: Folder,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write_large_model(tmp_path / "large", checkpoint("llama31-bpe"), layers=19)
    files = {
        path.name: Content(path, hashlib.sha256(path.name.encode()).hexdigest())
        if path.suffix == ".safetensors"
        else path.read_bytes()
        for path in folder.iterdir()
    }
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert total > 2_500_000_000
    with HubServer({"org/large": Repo(files)}) as hub:
        connect(monkeypatch, hub.url, tmp_path / "home")
        ran = cli("plan", "org/large", "--json", *types)
        assert ran.code == 0, ran.err
        assert hub.sent < total // 100
        heads = [request for request in hub.requests if request.host == "storage"]
        assert sum(request.sent for request in heads) <= 2 * 100_000
        assert len(heads) == 2
    event = ran.event("needs" if types else "overview")
    weights = {name: file.size for name, file in files.items() if isinstance(file, Content)}
    assert event["downloads"] == weights
