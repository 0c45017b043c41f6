"""What llama.cpp needs: missed where it is taken away, and not in what llama.cpp itself wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quantize import api
from quantize.formats import needs
from quantize.formats.kv import KV, KeyValues
from quantize.tensors import Shape
from tests.conftest import unpacked
from tests.support.cousins import COUSINS
from tests.support.kit_models import MODELS
from tests.support.taken_away import Outcome, Taken, outcomes

File = tuple[KeyValues, Mapping[str, Shape]]


@pytest.fixture(scope="module")
def files(pytestconfig: pytest.Config, kit: Path) -> dict[str, File]:
    """Headers of the kit's models and of the cousins, as llama.cpp's converter wrote them."""
    folders = dict.fromkeys(MODELS, kit)
    folders |= {name: unpacked(pytestconfig, f"cousins/{name}") for name in COUSINS}
    return {name: _file(folder / "expected" / f"{name}.json") for name, folder in folders.items()}


def _file(path: Path) -> File:
    said: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    kvs = [KV(one["key"], one["type"], one.get("value", ())) for one in said["kv"]]
    return KeyValues(kvs), {name: tuple(one["ne"][::-1]) for name, one in said["tensors"].items()}


def missed(kvs: KeyValues, tensors: Mapping[str, Shape]) -> dict[str, str]:
    return {one.name: one.effect for one in needs.missing(kvs, tensors)}


def test_whole_files_miss_nothing(files: dict[str, File]) -> None:
    assert {name: missed(*file) for name, file in files.items() if missed(*file)} == {}


def test_the_table_covers_what_can_be_converted(files: dict[str, File]) -> None:
    """A new family comes with a cousin; scripts/write_needs.py then measures it."""
    archs = {kvs.arch for kvs, _ in files.values()}
    assert archs >= needs.table().keys()
    assert len(needs.table()) > 90


def test_each_part_that_is_taken_away_is_missed(files: dict[str, File]) -> None:
    """Of one model of each architecture, by the table itself."""
    models = {kvs.arch: (kvs, tensors) for kvs, tensors in files.values()}
    for arch, (kvs, tensors) in models.items():
        one = needs.table().get(arch)
        if one is None:
            continue
        for kv in kvs:
            name = kv.key.removeprefix(f"{arch}.")
            if name in (*one["keys"], *one["wanted"]):
                rest = KeyValues(other for other in kvs if other is not kv)
                assert kv.key in missed(rest, tensors)
        for name in one["tensors"]:
            rest_of = {other: shape for other, shape in tensors.items() if other != name}
            assert missed(kvs, rest_of)[name] == "refused"


@pytest.mark.parametrize(
    ("name", "lost", "effect"),
    [
        ("qwen2-tied", "blk.0.attn_q.bias", "differs"),
        ("llama31-bpe", "blk.1.ffn_down.weight", "refused"),
        ("mixtral-8x", "llama.expert_used_count", "refused"),
        ("qwen2-yarn", "qwen2.rope.scaling.factor", "differs"),
        ("phi3-longrope", "rope_factors_short.weight", "differs"),
        ("modern-bert", "blk.1.attn_norm.weight", "refused"),
        ("apertus", "xielu.eps", "refused"),
    ],
)
def test_what_is_no_part_of_every_model(
    files: dict[str, File], name: str, lost: str, effect: str
) -> None:
    """Found out from the rest of the file: other blocks, partners, and what keys announce."""
    kvs, tensors = files[name]
    kept = {other: shape for other, shape in tensors.items() if other != lost}
    rest = KeyValues(kv for kv in kvs if kv.key != lost)
    assert missed(rest, kept) == {lost: effect}


def test_files_of_strangers_take_no_time(files: dict[str, File]) -> None:
    """As many blocks as a header can name, each of another kind, and a tensor without a shape."""
    kvs, tensors = files["llama31-bpe"]
    parts = ("attn_q", "attn_k", "attn_v", "ffn_up", "ffn_gate", "ffn_down")
    strange: dict[str, Shape] = {
        f"blk.{number}.{part}.weight": (1,)
        for number in range(60_000)
        for place, part in enumerate(parts)
        if number >> place & 1
    }
    found = list(needs.missing(kvs, {**tensors, **strange, "cls.output.weight": ()}))
    assert len(found) < 100


def test_llama_cpp_agrees(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """Whatever is taken away: what changes anything, or keeps the file from loading, is told."""
    options = api.Options(types=("F32",), output=tmp_path / "out")
    taken = Taken(api.convert(str(checkpoint("qwen2-tied")), options).files[0].path)
    # All of all models are tried by scripts/write_needs.py.
    some = taken.names()[1::5]
    found: dict[str, Outcome] = dict(outcomes(taken, tmp_path / "without.gguf", some))
    assert {"refused", "differs", "same"} <= set(found.values())
    whole = said(taken.write_without("", tmp_path / "whole.gguf"))
    silent = {
        name
        for name, outcome in found.items()
        if outcome != "same" and said(taken.write_without(name, tmp_path / "t.gguf")) == whole
    }
    assert silent == set()


def said(path: Path) -> set[tuple[str, str]]:
    return {(one.check, one.message) for one in api.diagnose(path) if one.message}
