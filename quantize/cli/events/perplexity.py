"""What `perplexity --json` prints; see events.py."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict


class PerplexityEvent(TypedDict):
    """How well a file predicts a text. An error is one standard error."""

    event: Literal["perplexity"]
    path: str
    perplexity: float
    error: float
    context: Annotated[int, "tokens in a chunk"]
    chunks: int
    tokens: Annotated[int, "that were scored"]


class DivergenceEvent(TypedDict):
    """How far the file's predictions are from those of its base."""

    event: Literal["divergence"]
    base: str
    base_perplexity: float
    base_perplexity_error: float
    log_ratio: Annotated[float, "ln(perplexity / base_perplexity)"]
    log_ratio_error: float
    divergence: Annotated[float, "Kullback-Leibler divergence from base to file, nats per token"]
    divergence_error: float
    divergence_median: Annotated[float, "over the scored tokens"]
    divergence_99: Annotated[float, "percentile"]
    divergence_maximum: float
    same_top: Annotated[float, "share of tokens where both expect the same one most"]
    same_top_error: float
    probability: Annotated[float, "what the token that comes gains in probability, on average"]
    probability_error: float
