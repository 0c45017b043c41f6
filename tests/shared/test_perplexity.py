"""tinyrust's types on text that it was not trained on, beside llama-perplexity's table of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from quantize import api
from quantize.verbs.perplexity import perplexity

BASE = "F32"
CONTEXT = 256
# From the nearest to the farthest, as the divergence orders them.
ORDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q4_0", "Q3_K_M", "Q2_K")
BASE_ROW = re.compile(r"\| F32, F16 \| ([\d.]+) ± ([\d.]+) \|")
ROW = re.compile(r"\| (\w+) \| ([\d.]+) ± [\d.]+ \| ([\d.]+) ± ([\d.]+) \| ([\d.]+) % \|")


class Row(NamedTuple):
    """What llama-perplexity found."""

    perplexity: float
    divergence: float
    error: float
    same_top: float


@pytest.fixture(scope="session")
def folder(shared: Path) -> Path:
    return shared / "models" / "tinyrust"


@pytest.fixture(scope="session")
def page(shared: Path) -> str:
    return (shared / "models" / "README.md").read_text("utf-8")


@pytest.fixture(scope="session")
def table(page: str) -> Mapping[str, Row]:
    found = ROW.findall(page)
    return {
        name: Row(float(ppl), float(kl), float(error), float(top) / 100)
        for name, ppl, kl, error, top in found
    }


@pytest.fixture(scope="session")
def files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    options = api.Options(types=(BASE, *ORDER), output=tmp_path_factory.mktemp("tinyrust"), jobs=1)
    done = api.convert(str(folder / "checkpoint"), options)
    return {file.type: file.path for file in done.files}


def test_the_errors_of_the_table_keep_its_order(table: Mapping[str, Row]) -> None:
    """Whatever agrees with it within its errors orders the types alike."""
    for nearer, farther in pairwise(ORDER):
        a, b = table[nearer], table[farther]
        assert a.divergence + a.error < b.divergence - b.error


@pytest.mark.parametrize("name", ORDER)
def test_a_type_is_as_far_from_f32_as_llama_perplexity_says(
    name: str, page: str, table: Mapping[str, Row], files: Mapping[str, Path], folder: Path
) -> None:
    found = perplexity(files[name], folder / "eval.txt", files[BASE], context=CONTEXT, jobs=1)
    wanted, comparison = table[name], found.comparison
    assert comparison is not None
    # The files and the scored tokens are the same. What differs is the order of sums on another
    # processor, and that the tool rounds the base's logits to 16 bits. That must be less than what
    # another text would change: the error of the mean for the divergence and the share, and for
    # the perplexity the error of its ratio to the base's, the same text. The table is rounded.
    mean = comparison.divergence.mean
    assert mean.value == pytest.approx(wanted.divergence, abs=wanted.error)
    assert mean.error == pytest.approx(wanted.error, rel=0.1, abs=1e-6)
    ratio_error = comparison.log_ratio.error * wanted.perplexity
    assert found.perplexity.value == pytest.approx(wanted.perplexity, abs=ratio_error + 5e-5)
    top = comparison.same_top
    assert top.value == pytest.approx(wanted.same_top, abs=top.error)
    base = BASE_ROW.search(page)
    assert base is not None
    assert comparison.base_perplexity.value == pytest.approx(float(base[1]), abs=5e-5)
    assert comparison.base_perplexity.error == pytest.approx(float(base[2]), abs=5e-4)
