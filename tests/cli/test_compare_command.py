"""The command `compare`: what people and programs are told, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from quantize.formats.kv import array, string
from quantize.verbs.compare import compare
from tests.support.cli_runner import ESCAPE, Cli
from tests.support.compared import MODEL, made
from tests.support.gguf_files import write_gguf

__all__ = ["made"]

Folder = Callable[[str], Path]


def test_the_command_for_people(cli: Cli, made: dict[str, Path], checkpoint: Folder) -> None:
    ran = cli("compare", str(checkpoint(MODEL)), str(made["Q4_K_M"]))
    assert ran.code == 0, ran.err
    assert f"against {MODEL}, the reference" in ran.out
    assert ESCAPE not in ran.out
    assert "━" not in ran.out
    worst = ran.out[ran.out.index("worst tensors") :].splitlines()[1:]
    found = compare(str(checkpoint(MODEL)), str(made["Q4_K_M"]))
    expected = sorted(found.measured, key=lambda tensor: -tensor.quality.severity)[:10]
    assert [line.split()[0] for line in worst] == [tensor.name for tensor in expected]
    every = cli("compare", str(checkpoint(MODEL)), str(made["Q4_K_M"]), "--all").out
    for tensor in found.measured:
        assert f"\n{tensor.name} " in every


def test_equal_files_for_people(cli: Cli, made: dict[str, Path]) -> None:
    ran = cli("compare", str(made["F32"]), str(made["F32"]))
    assert "No measured value differs." in ran.out
    assert "key-value" not in ran.out


def test_the_events(cli: Cli, made: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    sides = str(made["F32"]), str(made["Q4_K_M"])
    ran = cli("compare", *sides, "--json", "--html", str(page))
    assert ran.code == 0, ran.err
    end = ran.event("comparison")
    assert end["measured"] == end["comparable"] == len(compare(*sides).measured)
    assert end["html"] == str(page)
    assert page.is_file()
    roles = [event["role"] for event in ran.events if event["event"] == "side"]
    assert roles == ["reference", "other"]
    (kv,) = [event for event in ran.events if event["event"] == "kv_difference"]
    assert (kv["key"], kv["reference"], kv["other"]) == ("general.file_type", 0, 15)
    qualities = [event for event in ran.events if event["event"] == "quality"]
    assert [event["name"] for event in qualities] == [t.name for t in compare(*sides).measured]
    sums = [event for event in ran.events if event["event"] == "quality_total"]
    assert {event["by"] for event in sums} == {"type", "kind", "layer", "all"}
    (everything,) = [event for event in sums if event["by"] == "all"]
    assert everything["tensors"] == len(qualities)


def test_a_failure_is_told_after_the_result(cli: Cli, made: dict[str, Path]) -> None:
    sides = str(made["F32"]), str(made["Q4_K_M"])
    assert cli("compare", *sides, "--fail-above", "50").code == 0
    ran = cli("compare", *sides, "--fail-above", "1", "--json")
    assert ran.code == 8
    assert [event["event"] for event in ran.events][-2:] == ["comparison", "error"]
    assert "error[too-different]" in ran.err


def test_long_values_are_told_by_where_they_differ(cli: Cli, tmp_path: Path) -> None:
    tokens = [f"t{i}" for i in range(5000)]
    text = "x" * 900
    kvs = array("list", "STRING", tokens), string("text", text)
    others = array("list", "STRING", [*tokens[:4000], "new"]), string("text", text + "END" + text)
    a = write_gguf(tmp_path / "a.gguf", {"t": np.ones((1, 4), np.float32)}, kvs)
    b = write_gguf(tmp_path / "b.gguf", {"t": np.ones((1, 4), np.float32)}, others)
    out = cli("compare", str(a), str(b)).out
    assert "5000 entries, [4000] is 't4000'" in out
    assert "4001 entries, [4000] is 'new'" in out
    assert "xEND" in out
    assert max(map(len, out.splitlines())) < 300
    first, second = [
        event
        for event in cli("compare", str(a), str(b), "--json").events
        if event["event"] == "kv_difference"
    ]
    assert (first["reference_length"], first["length"], first["first"]) == (5000, 4001, 4000)
    assert first["other"] == ["new"]
    assert second["first"] == 900


def test_a_page_that_cannot_be_written_is_told_before_the_work(
    cli: Cli, made: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "absent" / "page.html"
    ran = cli("compare", str(made["F32"]), str(made["F32"]), "--html", str(page))
    assert ran.code == 7
    assert "compare:" not in ran.err
