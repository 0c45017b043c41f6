"""Types for a size: the least loss that fits, never worse than a named mix, and refused early."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize import api
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import QuantizeError
from quantize.formats.imatrix_files import read_imatrix
from quantize.measuring import type_losses as sampling
from quantize.measuring.type_losses import Trial, sampled_losses
from quantize.options.run import RunOptions
from quantize.planning.from_checkpoint import model_of
from quantize.planning.importance import weigh
from quantize.planning.model import Model
from quantize.planning.planner import make_plans
from quantize.progress import NullProgress
from quantize.quantizers import QUANTIZERS
from quantize.recipes import UNSTEERED, plain
from quantize.recipes.budget import BitsBudget, Budget, Option, SizeBudget, spend
from quantize.recipes.sensitivity import sensitivity
from quantize.verbs.common.budgeting import (
    Budgeted,
    Candidates,
    budgeted,
    candidates,
    choose_within,
)
from quantize.verbs.common.preparing import open_sources
from quantize.verbs.compare import compare
from quantize.verbs.verify import verify
from tests.support.cli_runner import Cli

Folder = Callable[[str], Path]
NUMPY = RunOptions(jobs=1, kernels="numpy")


def opened(source: str) -> tuple[Checkpoint, Model]:
    found = open_sources(source, api.Options()).opened.source
    assert isinstance(found, Checkpoint)
    return found, model_of(found)


option_lists = st.lists(
    st.builds(
        Option,
        st.just("T"),
        st.integers(1, 20),
        st.floats(0, 10).map(lambda error: round(error, 3)),
    ),
    min_size=1,
    max_size=4,
)


@given(st.lists(option_lists, min_size=1, max_size=5), st.integers(0, 60))
def test_nearly_the_best_choice_of_all_is_found(tensors: list[list[Option]], more: int) -> None:
    """At most one step worse than the best: all choices are tried to know that one."""
    budget = sum(min(one.nbytes for one in options) for options in tensors) + more
    found = spend(tensors, budget)
    assert found.nbytes <= budget
    assert all(one in options for one, options in zip(found.options, tensors, strict=True))
    fitting = [
        sum(one.error for one in choice)
        for choice in itertools.product(*tensors)
        if sum(one.nbytes for one in choice) <= budget
    ]
    step = max(
        max(one.error for one in options) - min(one.error for one in options) for options in tensors
    )
    # The sums have other orders, so that the last digits differ.
    assert found.bound - 1e-9 <= min(fitting) <= found.error + 1e-9
    assert found.error <= min(fitting) + step + 1e-9


def test_more_bytes_never_lose_more() -> None:
    options = [[Option(f"{n}", 4 * n, 2.0**-n * (place + 1)) for n in (2, 3, 4, 5, 6, 8)]
               for place in range(6)]  # fmt: skip
    errors = [spend(options, budget).error for budget in range(48, 193)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == sum(min(one.error for one in each) for each in options)


def test_the_measured_loss_is_the_error_of_the_file(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whole tensors, `compare` finds it in the file that was made with that type."""
    monkeypatch.setattr(sampling, "_SAMPLE", 1 << 30)
    source, model = opened(llama)
    recipe = plain("Q4_0")
    (plan,) = make_plans(model, [recipe])
    tensors = [tensor for tensor in plan.tensors if tensor.type == "Q4_0"]
    losses = sampled_losses(source, [Trial(t, ["Q4_0"]) for t in tensors], NUMPY, NullProgress())
    options = api.Options(types=("Q4_0",), output=tmp_path, kernels="numpy")
    (file,) = api.convert(llama, options).files
    measured = {found.name: found.quality for found in compare(llama, str(file.path)).measured}
    assert tensors
    for tensor, loss in zip(tensors, losses, strict=True):
        assert loss["Q4_0"] == pytest.approx((measured[tensor.name].relative_rms or 0) ** 2)


def test_columns_count_as_much_as_the_importance_matrix_says(
    tinyrust: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_SAMPLE", 1 << 30)
    source, model = opened(str(tinyrust))
    imatrix = read_imatrix(models / "tinyrust" / "imatrix.gguf")
    (plan,) = make_plans(weigh(model, imatrix, "m"), [plain("Q4_K_M")])
    tensor = next(tensor for tensor in plan.tensors if tensor.name == "blk.3.ffn_down.weight")
    (losses,) = sampled_losses(source, [Trial(tensor, ["Q3_K"])], NUMPY, NullProgress())
    rows = source.decode_rows(tensor.sources[0], 0, tensor.rows)
    assert tensor.imatrix is not None
    weights = tensor.imatrix.values()
    stored = QUANTIZERS["Q3_K"].dequantize(QUANTIZERS["Q3_K"].quantize(rows, weights))
    difference = stored.astype(np.float64) - rows
    expected = (weights * difference**2).sum() / (weights * rows.astype(np.float64) ** 2).sum()
    assert losses["Q3_K"] == pytest.approx(expected)


def found_for(source: str, budget: Budget) -> Budgeted:
    checkpoint, model = opened(source)
    return budgeted(checkpoint, model, UNSTEERED, budget, NUMPY, NullProgress())


MIXES = ("Q2_K", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K")


@pytest.fixture(scope="module")
def choices(llama: str) -> dict[str, Candidates]:
    """What can be chosen at the size of each mix."""
    _, model = opened(llama)
    sizes = {name: api.plan(llama, api.Options(types=(name,))).plans[0].size for name in MIXES}
    return {
        name: candidates(model, UNSTEERED, SizeBudget("b", "b", size))
        for name, size in sizes.items()
    }


@pytest.fixture(scope="module")
def losses(llama: str, choices: dict[str, Candidates]) -> dict[str, dict[str, float]]:
    """What each type loses of each tensor, measured once for all sizes."""
    source, _ = opened(llama)
    wanted: dict[str, tuple[Trial, set[str]]] = {}
    for found in choices.values():
        for trial in found.trials:
            wanted.setdefault(trial.tensor.name, (trial, set()))[1].update(trial.types)
    trials = [replace(trial, types=sorted(types)) for trial, types in wanted.values()]
    measured = sampled_losses(source, trials, NUMPY, NullProgress())
    return {trial.tensor.name: each for trial, each in zip(trials, measured, strict=True)}


@pytest.mark.parametrize("name", MIXES)
def test_no_mix_of_the_same_size_loses_less(
    name: str, choices: dict[str, Candidates], losses: dict[str, dict[str, float]]
) -> None:
    found = choices[name]
    measured = [
        {type: losses[trial.tensor.name][type] for type in trial.types} for trial in found.trials
    ]
    best = choose_within(found, UNSTEERED, measured)
    size = found.budget.limit(0, 0)
    assert best.own.size <= size
    (mix,) = (mix for mix in best.mixes if mix.name == name)
    assert mix.size == size
    assert all(best.own.error <= mix.error for mix in best.mixes)


def test_the_plan_is_within_the_budget_and_says_why(cli: Cli, llama: str) -> None:
    answer = cli("plan", llama, "--bits", "5.5", "--json")
    plan = answer.event("plan")
    assert 5.2 < plan["bits_per_weight"] <= 5.5
    chosen = [one for one in plan["tensors"] if one["reason"] == "--bits 5.5"]
    assert len({one["type"] for one in chosen}) > 1
    assert plan["type"] == "5.5bpw"
    assert "--bits 5.5: error " in answer.event("note")["text"]
    size = cli("plan", llama, "--target-size", "3.5MB", "--json").event("plan")["size"]
    assert 3_450_000 < size <= 3_500_000


def test_what_a_person_says_of_a_tensor_stays_so(cli: Cli, llama: str) -> None:
    steer = ("--tensor-type", "blk.0.attn_q=Q8_0", "--token-embedding-type", "Q4_0")
    tensors = cli("plan", llama, "--bits", "5.5", *steer, "--json").event("plan")["tensors"]
    types = {one["name"]: one["type"] for one in tensors}
    assert types["blk.0.attn_q.weight"] == "Q8_0"
    assert types["token_embd.weight"] == "Q4_0"  # noqa: S105 (an embedding, no secret)


def test_the_file_is_the_same_again_and_can_be_verified(llama: str, tmp_path: Path) -> None:
    digests = set()
    for jobs in (1, 2):
        options = api.Options(bits=5, output=tmp_path / f"{jobs}", jobs=jobs)
        (file,) = api.convert(llama, options).files
        digests.add(file.sha256)
    assert len(digests) == 1
    # The manifest has the types, so that nothing is measured and chosen anew.
    manifest = json.loads((tmp_path / "2" / "manifest.json").read_text("utf-8"))
    rules = manifest["options"]["recipes"]["5bpw"]["rules"]
    assert {rule["said"] for rule in rules} == {"--bits 5"}
    verified = verify(file.path, llama)
    assert verified.compared == verified.tensors


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (("--target-size", "10kB"), "nothing-fits"),
        (("--target-size", "many"), "bad-size"),
        (("--bits", "4.6", "--target-size", "4GB"), "two-budgets"),
        (("--bits", "4.6", "-t", "Q4_K_M"), "budget-and-types"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(
    cli: Cli, llama: str, arguments: tuple[str, ...], reference: str
) -> None:
    answer = cli("plan", llama, *arguments, "--json")
    assert answer.event("error")["code"] == reference
    assert answer.code == 2


def test_weights_that_are_not_finite_are_refused_before_they_are_rated(
    llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(source: Checkpoint, name: str, lo: int, hi: int) -> np.ndarray:
        rows = decode(source, name, lo, hi)
        rows[-1, -1] = np.nan
        return rows

    decode = Checkpoint.decode_rows
    monkeypatch.setattr(Checkpoint, "decode_rows", broken)
    with pytest.raises(QuantizeError) as caught:
        found_for(llama, BitsBudget("b", "b", 5))
    assert caught.value.code == "non-finite-weight"


def test_the_output_counts_most_and_a_tied_embedding_is_it() -> None:
    def factor(name: str, *, tied: bool = False) -> float:
        return sensitivity(name, 32, tied=tied)

    assert factor("output.weight") > factor("token_embd.weight") > factor("blk.0.ffn_down.weight")
    tied = factor("token_embd.weight", tied=True)
    assert tied == factor("output.weight") + factor("token_embd.weight")
    assert factor("blk.5.attn_k.weight") < factor("blk.5.ffn_up.weight") == 1
