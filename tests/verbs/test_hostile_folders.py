"""A downloaded folder, a careless name, a source that changes: no other file is written to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from quantize.errors import CheckpointError, UsageError
from quantize.execution import worker
from quantize.planning.plan import Task
from quantize.storage.sink import PartialFile
from tests.support.cli_runner import Cli

VICTIM = b"what was there\n"
NAME = "qwen3-tied"


@pytest.fixture
def model(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    folder = tmp_path / "model" / NAME
    shutil.copytree(checkpoint(NAME), folder)
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(VICTIM)
    return path


JOURNAL = f"{NAME}-Q8_0.gguf.journal"
PARTIAL = f"{NAME}-Q8_0.gguf.partial"


@pytest.mark.parametrize("name", [JOURNAL, "Modelfile.partial", "manifest.json.partial"])
@pytest.mark.parametrize("kind", [os.symlink, os.link], ids=["link", "second-name"])
def test_a_link_under_our_name_is_not_followed(
    name: str,
    kind: Callable[[Path, Path], None],
    model: Path,
    victim: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind(victim, model / name)
    monkeypatch.chdir(model)
    ran = cli("convert", ".", "-t", "Q8_0", "-q")
    assert ran.code == 7
    assert "error[not-a-plain-file]" in ran.err
    assert name in ran.err
    assert victim.read_bytes() == VICTIM


def test_a_link_in_place_of_the_data_gives_way(model: Path, victim: Path) -> None:
    (model / PARTIAL).symlink_to(victim)
    api.convert(str(model), api.Options(types=("Q8_0",), output=model))
    assert victim.read_bytes() == VICTIM
    assert not (model / PARTIAL).is_symlink()


def test_a_link_to_data_that_could_be_continued_is_not_followed(
    model: Path, victim: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = api.Options(types=("Q8_0",), output=model)
    size = api.plan(str(model), options).plans[0].size
    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "commit", stop)
        with pytest.raises(KeyboardInterrupt):
            api.convert(str(model), options)
    (model / PARTIAL).unlink()
    victim.write_bytes(bytes(size))
    (model / PARTIAL).symlink_to(victim)
    assert cli("convert", str(model), "-t", "Q8_0", "-o", str(model), "-q").code == 7
    assert victim.read_bytes() == bytes(size)


def stop(_: PartialFile) -> None:
    raise KeyboardInterrupt


def test_a_pipe_under_our_name_is_not_opened(model: Path, cli: Cli) -> None:
    os.mkfifo(model / JOURNAL)
    ran = cli("convert", str(model), "-t", "Q8_0", "-o", str(model), "-q")
    assert ran.code == 7
    assert "error[not-a-plain-file]" in ran.err


@pytest.mark.parametrize(
    "name",
    ["../../x", "org/tiny", "a:b", "what?", "a*", "a\nb", "a\x1b[31m", "con", "NUL.x", "end.", " x",
     "", ".", "..", "a\\b", "x" * 300, "ü" * 150, "a\u202eb"],
)  # fmt: skip
def test_a_name_that_is_not_one_everywhere_is_refused_first(
    name: str, tmp_path: Path, cli: Cli
) -> None:
    ran = cli("convert", str(tmp_path / "not-even-looked-at"), "--name", name)
    assert ran.code == 2
    assert "error[bad-name]" in ran.err
    assert "\x1b" not in ran.err


def test_a_folder_of_such_a_name_wants_another(model: Path, tmp_path: Path) -> None:
    moved = model.rename(tmp_path / "a:b")
    options = api.Options(types=("Q8_0",), output=tmp_path / "out")
    with pytest.raises(UsageError, match="a:b") as caught:
        api.convert(str(moved), options)
    assert (caught.value.code, (tmp_path / "out").exists()) == ("bad-name", False)
    named = api.Options(types=("Q8_0",), output=tmp_path / "out", name="fine")
    assert api.convert(str(moved), named).files[0].path.name == "fine-Q8_0.gguf"


@pytest.mark.parametrize("spelling", ["same", "through-a-link", "second-name"])
def test_a_source_is_not_replaced(
    spelling: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    source = api.convert(str(model), api.Options(types=("F16",), output=made)).files[0].path
    before = source.read_bytes()
    out = made
    if spelling == "through-a-link":
        out = tmp_path / "other"
        out.symlink_to(made, target_is_directory=True)
    elif spelling == "second-name":  # what a case-insensitive disk makes of another spelling
        out = tmp_path / "second"
        out.mkdir()
        os.link(source, out / source.name)
    options = api.Options(types=("F16",), output=out, name=NAME, prune_layers="1")
    with pytest.raises(UsageError, match="would replace") as caught:
        api.convert(str(source), options)
    assert caught.value.code == "output-is-source"
    assert source.read_bytes() == before


@pytest.mark.parametrize("change", ["bytes", "replaced", "longer"])
def test_a_source_that_changes_meanwhile_gives_no_file(
    change: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = max(model.glob("*.safetensors"))
    work = worker.Worker.read
    waiting = [shard]

    def read(self: worker.Worker, task: Task) -> object:
        if waiting:
            data = waiting.pop().read_bytes()
            if change == "replaced":
                (model / "new").write_bytes(data)
                os.utime(model / "new", ns=(0, shard.stat().st_mtime_ns))
                (model / "new").rename(shard)
            else:
                changed = data[:-1] + b"\0" if change == "bytes" else data + b"\0"
                shard.write_bytes(changed)
        return work(self, task)

    monkeypatch.setattr(worker.Worker, "read", read)
    out = tmp_path / "out"
    options = api.Options(types=("Q8_0",), output=out, kernels="numpy", jobs=1)
    with pytest.raises(CheckpointError) as caught:
        api.convert(str(model), options)
    assert caught.value.code == "source-changed"
    assert list(out.iterdir()) == []


def test_a_run_in_the_folder_of_its_source_continues(model: Path, tmp_path: Path) -> None:
    """What it writes there is no change of the source."""
    from quantize.sources.opening import open_source

    before = open_source(str(model)).identity
    api.convert(str(model), api.Options(types=("Q8_0",), output=model))
    assert open_source(str(model)).identity == before
