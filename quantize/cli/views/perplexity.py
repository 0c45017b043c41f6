"""What was measured of a file on a text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from quantize.cli.events.base import Event
from quantize.cli.events.perplexity import DivergenceEvent, PerplexityEvent
from quantize.cli.views.tables import facts
from quantize.evaluation.likelihood import Estimate, LikelihoodComparison
from quantize.verbs.perplexity import Measured


def perplexity_view(found: Measured) -> Iterator[RenderableType]:
    scored = f"{found.tokens} tokens in {found.chunks} chunks of {found.context}"
    yield Text.assemble((found.path.name, "bold"), f"  {scored}")
    rows = [("perplexity", _text(found.perplexity, 4))]
    if found.comparison is not None:
        rows += _comparison_rows(found.comparison)
    yield facts(rows)


def _comparison_rows(found: LikelihoodComparison) -> list[tuple[str, str]]:
    divergence = found.divergence
    return [
        ("of the base", _text(found.base_perplexity, 4)),
        ("ln of the ratio", _text(found.log_ratio, 6)),
        ("KL divergence", _text(divergence.mean, 6)),
        ("  median", f"{divergence.median:.6f}"),
        ("  99 %", f"{divergence.percentile_99:.6f}"),
        ("  maximum", f"{divergence.maximum:.6f}"),
        ("same top token", _percent(found.same_top, 2)),
        ("mean Δp", _percent(found.probability, 3)),
    ]


def _text(estimate: Estimate, digits: int) -> str:
    return f"{estimate.value:.{digits}f} ± {estimate.error:.{digits}f}"


def _percent(estimate: Estimate, digits: int) -> str:
    return _text(Estimate(100 * estimate.value, 100 * estimate.error), digits) + " %"


def perplexity_events(found: Measured) -> Iterator[Event]:
    yield PerplexityEvent(
        event="perplexity",
        path=str(found.path),
        perplexity=found.perplexity.value,
        error=found.perplexity.error,
        context=found.context,
        chunks=found.chunks,
        tokens=found.tokens,
    )
    if found.comparison is not None:
        yield _divergence_event(str(found.base), found.comparison)


def _divergence_event(base: str, found: LikelihoodComparison) -> DivergenceEvent:
    divergence = found.divergence
    return DivergenceEvent(
        event="divergence",
        base=base,
        base_perplexity=found.base_perplexity.value,
        base_perplexity_error=found.base_perplexity.error,
        log_ratio=found.log_ratio.value,
        log_ratio_error=found.log_ratio.error,
        divergence=divergence.mean.value,
        divergence_error=divergence.mean.error,
        divergence_median=divergence.median,
        divergence_99=divergence.percentile_99,
        divergence_maximum=divergence.maximum,
        same_top=found.same_top.value,
        same_top_error=found.same_top.error,
        probability=found.probability.value,
        probability_error=found.probability.error,
    )
