"""The heat map: layers down, kinds of tensors across, one color a tensor; and the rest as tiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from quantize.cli.html.colors import STEPS, step
from quantize.cli.scale import (
    HIGHEST,
    LOWEST,
    TYPICAL,
    broken,
    cosine,
    decibels,
    largest,
    percent,
    position,
)
from quantize.execution.error_sums import TensorQuality
from quantize.measuring.grouped import MeasuredTensor, total, totals

# As a layer computes. What is not here comes after, but before feed-forward parts if it is none.
_ORDER = (
    "attn_qkv", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_inp", "ffn_gate_exps",
    "ffn_up_exps", "ffn_down_exps", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp", "ffn_gate",
    "ffn_up", "ffn_down",
)  # fmt: skip
_WIDTH = 4  # of a column at least, in rem
_TICKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def heat_map(tensors: Sequence[MeasuredTensor]) -> str:
    """A table, so that it is read as well as seen. Kinds that are exact everywhere are named only.

    Empty where no tensor is of a layer.
    """
    cells = {(tensor.layer, tensor.kind): tensor for tensor in tensors if tensor.layer is not None}
    if not cells:
        return ""
    inside = list(cells.values())
    by_kind = totals(inside, lambda tensor: tensor.kind)
    kinds = sorted((kind for kind in by_kind if not by_kind[kind].quality.exact), key=_rank)
    exact = sorted(short(kind) for kind in by_kind if by_kind[kind].quality.exact)
    parts = []
    if kinds:
        width = f"min-width:{_WIDTH * (len(kinds) + 2)}rem"
        parts += [f'<div class="wide" tabindex="0"><table class="map" style="{width}">']
        parts += [_head(kinds), "<tbody>"]
        for layer in sorted({tensor.layer for tensor in inside if tensor.layer is not None}):
            members = [tensor for tensor in inside if tensor.layer == layer]
            parts.append(f'<tr><th scope="row">{layer}</th>')
            parts.append(_sum(f"layer {layer}", total(members).quality))
            parts += [_cell(cells.get((layer, kind))) for kind in kinds]
            parts.append("</tr>")
        parts.append('</tbody><tfoot><tr><th scope="row">all</th>')
        parts.append(_sum("all layers", total(inside).quality))
        parts += [_sum(f"{short(kind)} in all layers", by_kind[kind].quality) for kind in kinds]
        parts.append("</tr></tfoot></table></div>")
    if exact:
        parts.append(f"<p>Exact in every layer: {escape(', '.join(exact))}.</p>")
    return "\n".join(parts)


def tiles(tensors: Iterable[MeasuredTensor]) -> str:
    """Tensors outside of the layers, next to each other. Empty where there are none."""
    outside = [tensor for tensor in tensors if tensor.layer is None]
    shown = [tensor for tensor in outside if not tensor.quality.exact]
    exact = [short(tensor.name) for tensor in outside if tensor.quality.exact]
    parts = ['<ul class="tiles">'] if shown else []
    parts += [
        f'<li class="{_class(tensor.quality)}" title="{_title(tensor)}">'
        f"{escape(short(tensor.name))}<b>{_value(tensor.quality)}</b><i>{escape(tensor.type)}</i></li>"
        for tensor in shown
    ]
    parts += ["</ul>"] if shown else []
    if exact:
        parts.append(f"<p>Exact: {escape(', '.join(exact))}.</p>")
    return "\n".join(parts)


def legend() -> str:
    """The scale with errors below, and above what types lose of normal weights."""
    width = 640
    bar = [
        f'<rect class="step s{number}" x="{number * width / STEPS:g}" y="22" '
        f'width="{width / STEPS + 0.5:g}" height="16"/>'
        for number in range(STEPS)
    ]
    marks = [
        f'<text x="{position(error) * width:.0f}" y="14">{type}</text>'
        f'<path d="M{position(error) * width:.0f} 18v4"/>'
        for type, error in TYPICAL.items()
    ]
    ticks = [
        f'<text x="{position(error) * width:.0f}" y="56">{100 * error:g} %</text>'
        for error in _TICKS
    ]
    label = (
        f"The scale goes from {100 * LOWEST:g} % to {100 * HIGHEST:g} %. What types usually lose: "
        + ", ".join(f"{type} {100 * error:.2g} %" for type, error in TYPICAL.items())
    )
    return (
        f'<div class="wide"><svg class="legend" viewBox="-24 0 {width + 48} 62" role="img" '
        f'aria-label="{label}">' + "".join((*bar, *marks, *ticks)) + "</svg></div>"
    )


def short(name: str) -> str:
    return name.removesuffix(".weight")


def _rank(kind: str) -> tuple[bool, int, str]:
    name = short(kind)
    place = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return (name.startswith("ffn"), place, kind)


def _head(kinds: Iterable[str]) -> str:
    # Long names may break where their words end.
    names = [escape(short(kind)).replace("_", "_<wbr>").replace(".", ".<wbr>") for kind in kinds]
    columns = "".join(f'<th scope="col">{name}</th>' for name in ["whole", *names])
    return f'<thead><tr><th scope="col">layer</th>{columns}</tr></thead>'


def _cell(tensor: MeasuredTensor | None) -> str:
    if tensor is None:
        return '<td class="none" title="not there, or not measured">&ndash;</td>'
    return (
        f'<td class="{_class(tensor.quality)}" title="{_title(tensor)}">{_value(tensor.quality)}'
        f"<i>{escape(tensor.type)}</i></td>"
    )


def _sum(of: str, quality: TensorQuality) -> str:
    return (
        f'<td class="sum {_class(quality)}" title="{escape(of)}: {_facts(quality)}">'
        f"{_value(quality)}</td>"
    )


def _class(quality: TensorQuality) -> str:
    if broken(quality):
        return "broken"
    return "exact" if quality.exact else f"step s{_step(quality)}"


def _step(quality: TensorQuality) -> int:
    relative = quality.relative_rms
    return step(1.0 if relative is None else position(relative))


def _value(quality: TensorQuality) -> str:
    """The percentage without its sign."""
    return "NaN" if broken(quality) else escape(percent(quality).removesuffix(" %"))


def _title(tensor: MeasuredTensor) -> str:
    types = tensor.type
    if tensor.reference_type != tensor.type:
        types = f"{tensor.reference_type} to {tensor.type}"
    return f"{escape(tensor.name)}: {escape(types)}, {_facts(tensor.quality)}"


def _facts(quality: TensorQuality) -> str:
    if quality.exact:
        return "exact"
    parts = (
        f"error {percent(quality)}",
        decibels(quality),
        f"cosine {cosine(quality)}",
        f"largest {largest(quality)}",
        broken(quality),
    )
    return escape(", ".join(filter(None, parts)))
