"""Perplexity and divergence are what their definitions say, in every place and every sum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize.evaluation import likelihood
from quantize.evaluation.likelihood import compared, estimate, score, score_against


def close(wanted: list[float]) -> list[float]:
    """Equal to float64 sums of the same numbers in another order."""
    return pytest.approx(wanted, rel=1e-12, abs=1e-14)  # type: ignore[return-value] # compares


def rows(seed: int, count: int = 7, vocab: int = 11) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 3, (count, vocab)).astype(np.float32)


def distribution(logits: Sequence[float]) -> list[float]:
    """exp(x) / sum exp(x), as it is written."""
    powers = [math.exp(x) for x in logits]
    return [power / math.fsum(powers) for power in powers]


TARGETS = np.array([0, 10, 3, 3, 7, 1, 5], np.int32)


def test_a_likelihood_is_that_of_the_softmax() -> None:
    wanted = [
        -math.log(distribution(row)[target])
        for row, target in zip(rows(0).tolist(), TARGETS, strict=True)
    ]
    assert score(rows(0), TARGETS).tolist() == close(wanted)


def test_an_even_distribution_has_the_perplexity_of_its_size() -> None:
    found = likelihood.perplexity(score(np.full((7, 11), 4, np.float32), TARGETS))
    assert [found.value, found.error] == close([11, 0])


def test_large_logits_do_not_overflow() -> None:
    logits = rows(0) + np.float32(1e4)
    exact = logits.astype(np.float64) - 1e4
    wanted = [
        -math.log(distribution(row)[target])
        for row, target in zip(exact.tolist(), TARGETS, strict=True)
    ]
    assert score(logits, TARGETS).tolist() == close(wanted)


def test_a_divergence_is_the_sum_of_p_ln_p_over_q() -> None:
    nll, found = score_against(rows(1), rows(0), TARGETS)
    assert nll.tolist() == score(rows(1), TARGETS).tolist()
    assert found.base_nll.tolist() == score(rows(0), TARGETS).tolist()
    pairs = [
        (distribution(p), distribution(q))
        for p, q in zip(rows(0).tolist(), rows(1).tolist(), strict=True)
    ]
    assert found.divergence.tolist() == close(
        [math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) for p, q in pairs]
    )
    assert found.probability.tolist() == close(
        [q[target] - p[target] for (p, q), target in zip(pairs, TARGETS, strict=True)]
    )
    assert found.same_top.tolist() == [p.index(max(p)) == q.index(max(q)) for p, q in pairs]


def test_a_model_is_not_far_from_itself() -> None:
    _, found = score_against(rows(0), rows(0), TARGETS)
    assert found.divergence.tolist() == [0] * 7
    assert found.probability.tolist() == [0] * 7
    assert found.same_top.all()


def test_what_the_base_rules_out_costs_nothing_and_what_the_model_rules_out_everything() -> None:
    half, rest = np.float32(0), np.float32(-np.inf)
    base = np.array([[half, half, rest], [half, half, half]], np.float32)
    model = np.array([[half, half, half], [half, half, rest]], np.float32)
    _, found = score_against(model, base, np.array([0, 0], np.int32))
    assert found.divergence.tolist() == close([math.log(3 / 2), math.inf])


def test_an_error_is_that_of_the_mean() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    # Mean 4, squared deviations 9 + 4 + 0 + 25 = 38: sqrt(38 / 4 / 3).
    assert [estimate(values).value, estimate(values).error] == close([4, math.sqrt(38 / 12)])


def test_the_error_of_a_perplexity_is_propagated() -> None:
    found = likelihood.perplexity(np.array([1.0, 2.0, 4.0, 9.0]))
    assert [found.value, found.error] == close([math.exp(4), math.exp(4) * math.sqrt(38 / 12)])


def test_two_perplexities_are_compared_token_by_token() -> None:
    """The error of the ratio has the covariance in it: var(a) + var(b) - 2 cov(a, b)."""
    nll, found = score_against(rows(1), rows(0), TARGETS)
    ratio = compared(nll, found).log_ratio
    a, b = nll, found.base_nll
    variance = a.var() + b.var() - 2 * ((a * b).mean() - a.mean() * b.mean())
    assert [ratio.value, ratio.error] == close(
        [a.mean() - b.mean(), math.sqrt(variance / (len(a) - 1))]
    )


def test_quantiles_and_shares_are_over_all_tokens() -> None:
    # An odd number, so that the median is one of them; 1 + 0.99 * 100 places from below.
    values = np.arange(101.0)
    zeros, tops = np.zeros(101), np.arange(101) < 75
    order = np.random.default_rng(0).permutation(101)
    differences = likelihood.Differences(zeros, values[order], zeros, tops)
    found = compared(zeros, differences)
    assert (found.divergence.median, found.divergence.percentile_99) == (50, 99)
    assert found.divergence.maximum == 100
    share = 75 / 101
    # The Gaussian approximation of the binomial distribution.
    assert [found.same_top.value, found.same_top.error] == close(
        [share, math.sqrt(share * (1 - share) / 100)]
    )


def test_rows_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_against(rows(1), rows(0), TARGETS)
    # Three rows of 11 at a time, and one at the end.
    monkeypatch.setattr(likelihood, "_BLOCK", 35)
    nll, found = score_against(rows(1), rows(0), TARGETS)
    assert nll.tolist() == whole[0].tolist() == score(rows(1), TARGETS).tolist()
    assert found.divergence.tolist() == whole[1].divergence.tolist()
    assert found.base_nll.tolist() == whole[1].base_nll.tolist()
