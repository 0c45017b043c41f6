"""A comparison as one page: numbers, the heat map, sizes, the worst tensors, what else differs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

from quantize import __version__
from quantize.cli.html.colors import css
from quantize.cli.html.heatmap import heat_map, legend, tiles
from quantize.cli.scale import broken, cosine, decibels, largest, percent
from quantize.cli.views.differences import kv_texts, shape_texts
from quantize.cli.views.tables import shape_text
from quantize.execution.error_sums import TensorQuality
from quantize.execution.inline_errors import STRIDES
from quantize.measuring.grouped import MeasuredTensor, Total, total, totals
from quantize.units import format_bytes, format_count
from quantize.verbs.common.comparison import Comparison, SideFacts

_WORST = 10
_TINTS = 10
_STEP = re.compile(r'class="(?:sum )?step s(\d+)"')
_QUALITY = ("error", "signal to noise", "cosine", "largest")


def page(found: Comparison) -> str:
    """The page. It loads nothing: neither from a network nor from other files."""
    body = "\n".join(
        (_cards(found), _map(found), _sizes(found), _worst(found), _differences(found), _all(found))
    )
    template = resources.files("quantize.cli.html").joinpath("page.html").read_text("utf-8")
    a, b = found.reference, found.other
    return Template(template).substitute(
        title=escape(f"{b.name} against {a.name}"),
        heading=escape(b.name),
        subheading=f"measured against <b>{escape(a.name)}</b>, the reference "
        f"({escape(a.kind)}, {escape(a.arch)}, {escape(a.location)})",
        colors=css({int(number) for number in _STEP.findall(body)}),
        body=body,
        footer=f"quantize {__version__}",
    )


def _cards(found: Comparison) -> str:
    everything = total(found.measured)
    quality, a, b = everything.quality, found.reference, found.other
    exact = sum(tensor.quality.exact for tensor in found.measured)
    measured = f"{len(found.measured)} of {found.comparable}"
    share = _share(b.nbytes, a.nbytes)
    cards = [
        ("relative error", escape(percent(quality)), "root mean square, over all weights"),
        ("signal to noise", decibels(quality) or "no noise", "higher is better"),
        ("cosine", cosine(quality), "1 is the same direction"),
        ("largest error", largest(quality), "of a single weight"),
        (
            "size",
            format_bytes(b.nbytes),
            f"{b.bits_per_weight:.2f} bits per weight; {share} of {format_bytes(a.nbytes)}",
        ),
        ("tensors measured", measured, f"{exact} of them exact{_of_rows(everything)}"),
    ]
    if broken(quality):
        counts = f"{quality.reference_not_finite:,} / {quality.not_finite:,}"
        cards.append(("NaN or infinite", counts, "in the reference / in the other"))
    return "\n".join(
        (
            '<dl class="cards">',
            *(
                f'<div><dt>{name}</dt><dd class="value">{value}</dd>'
                f'<dd class="more">{more}</dd></div>'
                for name, value, more in cards
            ),
            "</dl>",
            _sampled(everything),
        )
    )


def _of_rows(everything: Total) -> str:
    """What share of the weights was looked at, if not all."""
    if everything.measured == everything.weights:
        return ""
    return f"; {100 * everything.measured / everything.weights:.3g} % of the weights"


def _sampled(everything: Total) -> str:
    if everything.measured == everything.weights:
        return ""
    return (
        "<p>Measured while the file was written. Of a large tensor, one row of up to "
        f"{max(STRIDES)} was: {format_count(everything.measured)} of "
        f"{format_count(everything.weights)} weights, always the same ones. They stand for the "
        "others; the largest error is that of the measured ones. <code>quantize compare</code> "
        "measures all.</p>"
    )


def _map(found: Comparison) -> str:
    layers, rest = heat_map(found.measured), tiles(found.measured)
    parts = ["<h2>Where the error is</h2>"]
    parts.append(
        "<p>Each field is a tensor: its relative error in percent, and its type. The scale is the "
        "same on every page; above it is what types lose of ordinary weights.</p>"
    )
    parts.append(legend())
    parts += [layers] if layers else []
    parts += ["<h2>Outside of the layers</h2>", rest] if rest else []
    return "\n".join(parts)


def _sizes(found: Comparison) -> str:
    a, b = found.reference, found.other
    order = sorted(b.nbytes_by_type, key=lambda type: -b.nbytes_by_type[type])
    order += [type for type in a.nbytes_by_type if type not in order]
    tints = {type: place % _TINTS for place, type in enumerate(order)}
    longest = max(a.nbytes, b.nbytes, 1)
    by_type = totals(found.measured, lambda tensor: tensor.type)
    rows = [
        (
            _swatch(tints[type]) + escape(type),
            format_bytes(b.nbytes_by_type[type]),
            _share(b.nbytes_by_type[type], b.nbytes),
            *_total_cells(by_type.get(type)),
        )
        for type in order
        if type in b.nbytes_by_type
    ]
    names = ("type", "size", "share", "tensors", "weights", *_QUALITY)
    return "\n".join(
        (
            "<h2>Size by type</h2>",
            _bar("reference", a, tints, longest),
            _bar("other", b, tints, longest),
            _table("size and error by type", names, rows, numbers=range(1, 9)),
        )
    )


def _bar(role: str, side: SideFacts, tints: Mapping[str, int], longest: int) -> str:
    stored = sorted(side.nbytes_by_type.items(), key=lambda pair: -pair[1])
    texts = [f"{escape(type)} {format_bytes(nbytes)}" for type, nbytes in stored]
    parts = "".join(
        f'<span style="width:{100 * nbytes / longest:.2f}%;background:var(--t{tints[type]})" '
        f'title="{text}"></span>'
        for (type, nbytes), text in zip(stored, texts, strict=True)
    )
    words = "".join(
        f"<span>{_swatch(tints[type])}{text}</span>"
        for (type, _), text in zip(stored, texts, strict=True)
    )
    label = f"{role}, {format_bytes(side.nbytes)}: {', '.join(texts)}"
    return (
        f'<div class="bar" role="img" aria-label="{label}">{parts}</div>'
        f'<p class="sizes"><b>{escape(side.name)}</b> {format_bytes(side.nbytes)} &emsp;{words}</p>'
    )


def _worst(found: Comparison) -> str:
    worst = sorted(found.measured, key=lambda tensor: -tensor.quality.severity)
    worst = [tensor for tensor in worst if not tensor.quality.exact][:_WORST]
    if not worst:
        return "<h2>Worst tensors</h2><p>No measured value differs.</p>"
    return "<h2>Worst tensors</h2>\n" + _tensor_table("the worst tensors", worst)


def _all(found: Comparison) -> str:
    table = _tensor_table("all measured tensors", found.measured)
    return (
        f"<details><summary>All {len(found.measured)} measured tensors</summary>{table}</details>"
    )


def _differences(found: Comparison) -> str:
    parts = []
    if found.tensors:
        rows = [
            (f"<code>{escape(one.name)}</code>", *map(escape, shape_texts(one)))
            for one in found.tensors
        ]
        names = ("tensor", "reference", "other")
        parts += ["<h2>Tensors that cannot be compared</h2>", _table("tensors", names, rows)]
    parts.append("<h2>Key-values that differ</h2>")
    kvs = [(f"<code>{escape(one.key)}</code>", *map(escape, kv_texts(one))) for one in found.kvs]
    names = ("key", "reference", "other")
    parts.append(_table("key-values", names, kvs, texts=(1, 2)) if kvs else "<p>None.</p>")
    return "\n".join(parts)


def _tensor_table(label: str, tensors: Sequence[MeasuredTensor]) -> str:
    names = ("tensor", "shape", "reference", "type", *_QUALITY)
    rows = [
        (
            f"<code>{escape(tensor.name)}</code>",
            shape_text(tensor.shape),
            escape(tensor.reference_type),
            escape(tensor.type),
            *_quality_cells(tensor.quality),
        )
        for tensor in tensors
    ]
    return _table(label, names, rows, numbers=(1, 4, 5, 6, 7))


def _total_cells(found: Total | None) -> Iterator[str]:
    if found is None:
        yield from ("not measured", "", "", "", "", "")
        return
    yield str(found.tensors)
    yield format_count(found.weights)
    yield from _quality_cells(found.quality)


def _quality_cells(quality: TensorQuality) -> tuple[str, str, str, str]:
    error = broken(quality) or ("exact" if quality.exact else percent(quality))
    return (escape(error), decibels(quality), cosine(quality), largest(quality))


def _table(
    label: str,
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Collection[int] = (),
    texts: Collection[int] = (),
) -> str:
    """Cells are HTML already. The columns `numbers` are on the right, `texts` may be broken."""
    kinds = {**dict.fromkeys(numbers, "n"), **dict.fromkeys(texts, "text")}
    classes = [f' class="{kinds[n]}"' if n in kinds else "" for n in range(len(names))]
    head = "".join(
        f'<th scope="col"{kind}>{name}</th>' for kind, name in zip(classes, names, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(classes, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0"><table class="list" aria-label="{label}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _swatch(tint: int) -> str:
    return f'<span class="swatch" style="background:var(--t{tint})"></span>'


def _share(part: int, whole: int) -> str:
    percentage = f"{100 * part / max(whole, 1):.1f}"
    return "&lt;0.1 %" if part and percentage == "0.0" else f"{percentage} %"
