"""Perplexity and Kullback-Leibler divergence from logits, each with its uncertainty.

The statistics are those of llama.cpp's perplexity tool; all sums are float64. An uncertainty is
the standard error of a mean over scored tokens, as if they were independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# float64 copies are made of so many logits at a time: 16 MB.
_BLOCK = 1 << 21


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Differences:
    """What a model makes of the scored tokens, compared with its base: a value of each token.

    `base_nll` and `divergence` are in nats, `probability` is how much more of it the model gives
    to the token that comes, `same_top` whether both expect the same token most.
    """

    base_nll: NDArray[np.float64]
    divergence: NDArray[np.float64]
    probability: NDArray[np.float64]
    same_top: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Differences]) -> Differences:
        """One after the other."""
        return cls(
            np.concatenate([part.base_nll for part in parts]),
            np.concatenate([part.divergence for part in parts]),
            np.concatenate([part.probability for part in parts]),
            np.concatenate([part.same_top for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Divergence:
    """The Kullback-Leibler divergence from the base to the model, in nats per token."""

    mean: Estimate
    median: float
    percentile_99: float
    maximum: float


@dataclass(frozen=True, slots=True)
class LikelihoodComparison:
    """A model compared with its base.

    `log_ratio` is ln(perplexity / base_perplexity). Both models read the same tokens, so its error
    is far smaller than those of the two. `same_top` and `probability` are shares of 1.
    """

    base_perplexity: Estimate
    log_ratio: Estimate
    divergence: Divergence
    same_top: Estimate
    probability: Estimate


def score(logits: NDArray[np.float32], targets: NDArray[np.int32]) -> NDArray[np.float64]:
    """Negative log-likelihoods of `targets` (n,), the tokens that came, by `logits` (n, vocab)."""
    found = np.empty(len(targets))
    for rows in _blocks(logits):
        found[rows] = _nll(_log_softmax(logits[rows]), targets[rows])
    return found


def score_against(
    logits: NDArray[np.float32], base: NDArray[np.float32], targets: NDArray[np.int32]
) -> tuple[NDArray[np.float64], Differences]:
    """Negative log-likelihoods of `targets` (n,) by `logits` (n, vocab), and against `base`'s."""
    nll, base_nll, divergence = np.empty((3, len(targets)))
    same_top = np.argmax(logits, axis=1) == np.argmax(base, axis=1)
    for rows in _blocks(logits):
        log_q, log_p = _log_softmax(logits[rows]), _log_softmax(base[rows])
        nll[rows], base_nll[rows] = _nll(log_q, targets[rows]), _nll(log_p, targets[rows])
        divergence[rows] = _divergence(log_p, log_q)
    probability = np.exp(-nll) - np.exp(-base_nll)
    return nll, Differences(base_nll, divergence, probability, same_top)


def perplexity(nll: NDArray[np.float64]) -> Estimate:
    """exp(mean), and by propagation the error of the mean times that."""
    mean = estimate(nll)
    value = float(np.exp(mean.value))
    return Estimate(value, value * mean.error)


def compared(nll: NDArray[np.float64], found: Differences) -> LikelihoodComparison:
    median, percentile_99 = np.quantile(found.divergence, (0.5, 0.99))
    return LikelihoodComparison(
        base_perplexity=perplexity(found.base_nll),
        log_ratio=estimate(nll - found.base_nll),
        divergence=Divergence(
            estimate(found.divergence),
            float(median),
            float(percentile_99),
            float(found.divergence.max()),
        ),
        same_top=estimate(found.same_top.astype(np.float64)),
        probability=estimate(found.probability),
    )


def estimate(values: NDArray[np.float64]) -> Estimate:
    """The mean of `values` (n,) and its standard error, sqrt(variance / (n - 1))."""
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(len(values) - 1))


def _blocks(logits: NDArray[np.float32]) -> list[slice]:
    step = max(1, _BLOCK // logits.shape[1])
    return [slice(low, low + step) for low in range(0, len(logits), step)]


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _nll(log_probabilities: NDArray[np.float64], targets: NDArray[np.int32]) -> NDArray[np.float64]:
    return np.asarray(-log_probabilities[np.arange(len(targets)), targets])


def _divergence(log_p: NDArray[np.float64], log_q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of p (ln p - ln q) in each row; a token that the base rules out adds nothing."""
    p = np.exp(log_p)
    difference = np.subtract(log_p, log_q, out=np.zeros_like(log_p), where=p > 0)
    return np.asarray((p * difference).sum(axis=1))
