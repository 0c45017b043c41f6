"""The page of `quantize compare --html`: whole, self-contained, escaped, and readable."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize.cli.html import colors
from quantize.cli.html.page import page
from quantize.cli.scale import HIGHEST, LOWEST, TYPICAL, percent, position
from quantize.execution.error_sums import ONE, TensorQuality, measure
from quantize.formats.kv import string
from quantize.quantizers import QUANTIZERS
from quantize.verbs.common.comparison import Comparison
from quantize.verbs.compare import compare
from tests.support.gguf_files import KVS, write_gguf

VOID = {"meta", "rect", "path", "wbr"}
# Attributes and words of CSS that make a browser load something.
LOADING = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background"}
HOSTILE = "blk.0.<script>alert('x')</script>&\"$title.weight"


class Page(HTMLParser):
    """Elements with their attributes, and the text of each; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[int, str] = {}
        self.declaration = ""
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_decl(self, decl: str) -> None:
        self.declaration = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> names one thing twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.texts[index] = self.texts.get(index, "") + data

    def all(self, tag: str, kind: str = "") -> list[tuple[dict[str, str], str]]:
        """Attributes and text of the elements `tag` that have `kind` among their classes."""
        return [
            (attributes, self.texts.get(index, ""))
            for index, (name, attributes) in enumerate(self.elements)
            if name == tag and (not kind or kind in attributes.get("class", "").split())
        ]


def rows(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, 256), np.float32)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three layers, of which one is incomplete and one has a NaN; hostile names and values."""
    folder = tmp_path_factory.mktemp("<b>&files")
    values = {
        "token_embd.weight": rows(8),
        "output_norm.weight": rows(1)[0],
        **{f"blk.{n}.attn_norm.weight": rows(1, n)[0] for n in range(3)},
        **{f"blk.{n}.ffn_down.weight": rows(4, n) for n in range(3)},
        **{f"blk.{n}.attn_q.weight": rows(4, 9 + n) for n in range(2)},
        HOSTILE: rows(2),
    }
    others = {**values, "extra.weight": rows(2)}
    others["blk.1.attn_q.weight"] = np.where(rows(4) > 2, np.float32("nan"), rows(4))
    types = {f"blk.{n}.ffn_down.weight": type for n, type in enumerate(("Q4_K", "Q6_K", "Q8_0"))}
    types |= {HOSTILE: "Q2_K", "token_embd.weight": "Q4_0"}
    a = write_gguf(folder / "a.gguf", values, (*KVS, string("general.name", "<i>a</i>")))
    b = write_gguf(folder / "b.gguf", others, (*KVS, string("general.name", "$b")), types)
    return compare(str(a), str(b))


@pytest.fixture(scope="module")
def text(found: Comparison) -> str:
    return page(found)


@pytest.fixture(scope="module")
def parsed(text: str) -> Page:
    return Page(text)


def test_it_is_one_whole_page(parsed: Page) -> None:
    assert parsed.declaration == "doctype html"
    assert [tag for tag, _ in parsed.elements][:2] == ["html", "head"]
    assert parsed.elements[0][1]["lang"] == "en"
    assert len(parsed.all("h1")) == len(parsed.all("title")) == 1
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_it_needs_nothing_else(text: str, parsed: Page) -> None:
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "use", "form"}
    for tag, attributes in parsed.elements:
        assert not LOADING & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert not re.search(r"url\(|@import|@font-face|https?:", text)
    (policy,) = [a["content"] for a, _ in parsed.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")


def test_names_and_values_are_escaped(text: str, parsed: Page) -> None:
    assert "<script" not in text
    assert "<i>a</i>" not in text
    assert "$title" in text
    names = [content for _, content in parsed.all("code")]
    assert HOSTILE in names
    assert "general.name" in names
    cells = [content for _, content in parsed.all("td")]
    assert "'<i>a</i>'" in cells
    assert "'$b'" in cells


def test_the_map_has_a_cell_for_each_tensor_of_a_layer(parsed: Page, found: Comparison) -> None:
    heads = [content for a, content in parsed.all("th") if a.get("scope") == "col"]
    hostile = HOSTILE.removeprefix("blk.0.").removesuffix(".weight")
    assert heads[:5] == ["layer", "whole", "attn_q", hostile, "ffn_down"]
    lines = [content for a, content in parsed.all("th") if a.get("scope") == "row"]
    assert lines == ["0", "1", "2", "all"]
    titles = [attributes["title"] for attributes, _ in parsed.all("td") if "title" in attributes]
    shown = [title for title in titles if title.startswith("blk.")]
    inside = [
        tensor
        for tensor in found.measured
        if tensor.layer is not None and "norm" not in tensor.name
    ]
    assert len(shown) == len(inside)
    for tensor in inside:
        (title,) = [one for one in shown if one.startswith(f"{tensor.name}: ")]
        if not tensor.quality.not_finite and not tensor.quality.exact:
            assert f"error {percent(tensor.quality)}" in title
            assert f"cosine {tensor.quality.cosine:.6f}" in title
    assert titles.count("not there, or not measured") == 3
    assert "Exact in every layer: attn_norm." in [content for _, content in parsed.all("p")]


def test_what_is_no_number_is_marked(parsed: Page) -> None:
    ((attributes, content),) = [
        cell for cell in parsed.all("td", "broken") if cell[0]["title"].startswith("blk.")
    ]
    assert content.startswith("NaN")
    assert re.search(r"NaN or infinite: \d+ in the other", attributes["title"])


def test_a_color_is_never_the_only_word(parsed: Page) -> None:
    """Each colored field says its number, each colored bar its types and sizes."""
    for attributes, content in [*parsed.all("td", "step"), *parsed.all("li", "step")]:
        assert re.search(r"\d", content), attributes
    for attributes, _ in [*parsed.all("div", "bar"), *parsed.all("svg")]:
        assert attributes["role"] == "img"
        assert re.search(r"\d", attributes["aria-label"])


def test_every_color_that_is_used_is_defined(text: str) -> None:
    used = set(re.findall(r"\bs\d+(?=\")", text))
    assert used
    assert used == set(re.findall(r"^\.(s\d+)\{", text, re.MULTILINE))
    variables = set(re.findall(r"var\((--\w+)\)", text))
    assert variables <= set(re.findall(r"(--\w+):", text))


def test_every_tensor_and_difference_is_listed(parsed: Page, found: Comparison) -> None:
    names = [content for _, content in parsed.all("code")]
    for tensor in found.measured:
        assert tensor.name in names
    assert "extra.weight" in names


def test_equal_files_have_a_page(tmp_path: Path) -> None:
    file = str(write_gguf(tmp_path / "a.gguf", {"t": rows(2)}))
    parsed = Page(page(compare(file, file)))
    assert "No measured value differs." in [content for _, content in parsed.all("p")]
    assert "None." in [content for _, content in parsed.all("p")]


@pytest.mark.parametrize("stops", [colors._LIGHT, colors._DARK])
def test_the_scale_is_readable(stops: tuple[str, ...]) -> None:
    """Inks have the contrast that WCAG asks for; lightness alone tells what is worse."""
    shades = [colors.at(stops, n / (colors.STEPS - 1)) for n in range(colors.STEPS)]
    for shade in shades:
        assert colors.contrast(shade, colors._rgb(colors.ink(shade))) >= 4.5
    white = [colors.contrast(shade, (255, 255, 255)) for shade in shades]
    steps = {before < after for before, after in pairwise(white)}
    assert len(steps) == 1


def test_contrast_is_that_of_wcag() -> None:
    """Its definition's own ends, and the gray that is just readable on white."""
    assert colors.contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert colors.contrast((9, 9, 9), (9, 9, 9)) == 1
    assert colors.contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.005)


def test_places_on_the_scale() -> None:
    assert (position(0.0), position(LOWEST), position(HIGHEST), position(7.0)) == (0, 0, 1, 1)
    assert position((LOWEST * HIGHEST) ** 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("type", TYPICAL)
def test_the_marks_are_what_types_lose_of_normal_weights(type: str) -> None:
    values = np.random.default_rng(5).standard_normal((64, 1024), np.float32)
    quantizer = QUANTIZERS[type]
    lost = measure(values, quantizer.dequantize(quantizer.quantize(values))).relative_rms
    assert lost == pytest.approx(TYPICAL[type], rel=0.02)  # another sample of weights


@pytest.mark.parametrize(
    ("relative", "text"),
    [(0.0, "0"), (1e-7, "<0.001 %"), (0.000213, "0.0213 %"), (0.15, "15.0 %"), (1.0, "100 %")],
)
def test_percentages(relative: float, text: str) -> None:
    assert percent(TensorQuality(1, ONE, round(relative**2 * ONE))) == text
