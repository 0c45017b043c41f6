"""`quantize push`: what is published, what is refused, what is not sent twice."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML has no types of its own

from quantize import api
from tests.support.cli_runner import Cli
from tests.support.hub_client import connect
from tests.support.hub_faults import storm
from tests.support.hub_server import Fault, HubServer, Repo

# huggingface_hub passes its files in a way that its HTTP library would like changed.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

TOKEN = "hf_write"  # noqa: S105 (of our own Hub)
READER = "hf_read"
MODEL = "llama2-spm"
TARGET = "user/quantized"


@pytest.fixture(scope="module")
def made(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two types with their Modelfiles and the manifest."""
    folder = tmp_path_factory.mktemp("made")
    options = api.Options(types=("Q8_0", "Q4_0"), output=folder, kernels="numpy")
    api.convert(str(checkpoint(MODEL)), options)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    theirs = Repo({"config.json": b"{}"}, tokens=("hf_theirs",))
    with HubServer({"other/theirs": theirs}, writers=[TOKEN]) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def stored(hub: HubServer) -> dict[str, bytes]:
    files = hub.repos[TARGET].at("main") or {}
    return {name: content.read(0, content.size) for name, content in files.items()}


def puts(hub: HubServer) -> int:
    return len([request for request in hub.requests if request.method == "PUT"])


def commits(hub: HubServer) -> int:
    return len(hub.repos[TARGET].history) - 1  # one comes with the repository


def test_everything_is_there_byte_for_byte(cli: Cli, hub: HubServer, folder: Path) -> None:
    ran = cli("push", str(folder), TARGET, "--json")
    assert ran.code == 0, ran.err
    there = stored(hub)
    assert there.keys() == {path.name for path in folder.iterdir()} | {"README.md"}
    for path in folder.iterdir():
        assert there[path.name] == path.read_bytes()
    done = ran.event("pushed")
    assert done["commit"] == hub.repos[TARGET].commit
    assert set(done["uploaded"]) == there.keys()
    assert commits(hub) == 1


def test_the_card_names_types_sizes_digests_and_how_to_run(
    cli: Cli, hub: HubServer, folder: Path
) -> None:
    cli("push", str(folder), TARGET)
    text = stored(hub)["README.md"].decode()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "gguf"
    for path in folder.glob("*.gguf"):
        (row,) = [line for line in body.splitlines() if line.startswith(f"| [{path.name}]")]
        assert path.stem.rpartition("-")[2] in row
        assert f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" in body
    assert f"ollama run hf.co/{TARGET}:Q4_0" in body
    assert f"llama-server -hf {TARGET}:Q4_0" in body


def test_a_modelfile_that_made_room_is_not_published(
    cli: Cli, hub: HubServer, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Somebody has edited it: a new conversion must not lose that, nor show it to the world."""
    convert = ("convert", str(checkpoint(MODEL)), "-t", "Q8_0", "-o", str(tmp_path), "--fresh")
    cli(*convert)
    modelfile = tmp_path / "Modelfile"
    usual = modelfile.read_bytes()
    modelfile.write_text("FROM ./other.gguf\nSYSTEM mine\n", "utf-8")
    ran = cli(*convert)
    assert "Modelfile.old" in ran.out + ran.err
    assert modelfile.read_bytes() == usual
    assert (tmp_path / "Modelfile.old").read_bytes() == b"FROM ./other.gguf\nSYSTEM mine\n"
    ran = cli(*convert)
    assert "Modelfile.old" not in ran.out + ran.err
    for _ in range(2):  # the same again is set aside in the same place, something else beside it
        modelfile.write_text("FROM ./third.gguf\n", "utf-8")
        assert "Modelfile.2.old" in "".join(cli(*convert)[1:])
    assert (tmp_path / "Modelfile.old").read_bytes() == b"FROM ./other.gguf\nSYSTEM mine\n"
    assert (tmp_path / "Modelfile.2.old").read_bytes() == b"FROM ./third.gguf\n"
    assert not (tmp_path / "Modelfile.3.old").exists()
    assert cli("push", str(tmp_path), TARGET).code == 0
    assert not any(name.endswith(".old") for name in stored(hub))


def test_a_model_in_several_files_goes_with_all_of_them(
    cli: Cli, hub: HubServer, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    source = str(checkpoint(MODEL))
    split = ("--split-max-size", "300kB")
    ran = cli("convert", source, "-t", "Q4_0", *split, "-o", str(tmp_path / "o"), "--push", TARGET)
    assert ran.code == 0, ran.err
    there = stored(hub)
    files = sorted((tmp_path / "o").glob("*.gguf"))
    assert len(files) > 1
    assert {path.name for path in files} | {"README.md", "Modelfile", "manifest.json"} == set(there)
    text = there["README.md"].decode()
    assert all(f"| [{path.name}](./{path.name}) | Q4_0 |" in text for path in files)
    # Ollama joins them when a model is created, and only then.
    assert "ollama run" not in text
    assert "ollama create NAME -f Modelfile" in text
    assert there["Modelfile"].count(b"FROM ./") == len(files)


def test_the_card_names_the_matrix_and_whom_it_served(
    cli: Cli, hub: HubServer, models: Path, tmp_path: Path
) -> None:
    """Not the folder it was in: that is nobody else's business."""
    matrix = models / "tinyrust" / "imatrix.gguf"
    known = api.imatrix(matrix).imatrix
    source, out = str(models / "tinyrust" / "checkpoint"), tmp_path / "out"
    api.convert(source, api.Options(types=("Q4_K_M",), output=out, imatrix=matrix))
    api.convert(source, api.Options(types=("Q8_0",), output=out))
    ran = cli("push", str(out), TARGET)
    assert ran.code == 0, ran.err
    card = stored(hub)["README.md"].decode()
    (line,) = [line for line in card.splitlines() if "importance matrix" in line]
    (file,) = out.glob("*Q4_K_M.gguf")
    assert line == (
        f"Columns of `{file.name}` count as much as an importance matrix says: "
        f"`imatrix.gguf`, {known.chunks} chunks of `{Path(known.datasets[0]).name}`."
    )
    assert str(matrix.parent) not in card


def test_the_card_names_base_commit_and_license(
    cli: Cli, hub: HubServer, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in checkpoint(MODEL).iterdir()}
    files["README.md"] = b"---\nlicense: mit\nlanguage: [en, de]\n---\n# Base\n"
    hub.repos["org/base"] = Repo(files)
    output = ("-o", str(tmp_path / "out"), "-t", "Q8_0", "--kernels", "numpy")
    ran = cli("convert", "org/base", *output, "--push", TARGET, "--private")
    assert ran.code == 0, ran.err
    assert hub.repos[TARGET].private
    card = stored(hub)["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["base_model"] == "org/base"
    assert front["base_model_relation"] == "quantized"
    assert front["license"] == "mit"
    assert front["language"] == ["en", "de"]
    assert hub.repos["org/base"].commit in card


def test_a_second_push_sends_nothing(cli: Cli, hub: HubServer, folder: Path) -> None:
    cli("push", str(folder), TARGET)
    sent = puts(hub)
    ran = cli("push", str(folder), TARGET, "--json")
    assert ran.code == 0
    assert ran.event("pushed")["uploaded"] == []
    assert (puts(hub), commits(hub)) == (sent, 1)


def test_an_interrupted_push_sends_only_what_is_missing(
    cli: Cli, hub: HubServer, folder: Path
) -> None:
    hub.faults.waiting.append(Fault("POST hub /api/models/.*/commit/", status=500))
    assert cli("push", str(folder), TARGET).code == 6
    sent = puts(hub)
    assert sent == 2
    assert commits(hub) == 0
    assert cli("push", str(folder), TARGET).code == 0
    assert (puts(hub), commits(hub)) == (sent, 1)


def test_a_push_survives_a_storm(cli: Cli, hub: HubServer, folder: Path) -> None:
    # A commit is not repeated by itself; everything else is.
    hub.faults.waiting += [Fault("commit", times=None), *storm(0.15)]
    ran = cli("push", str(folder), TARGET)
    assert ran.code == 0, ran.err
    assert {name for name in stored(hub) if name.endswith(".gguf")} == {
        path.name for path in folder.glob("*.gguf")
    }


def test_another_file_of_that_name_is_not_overwritten(
    cli: Cli, hub: HubServer, folder: Path
) -> None:
    cli("push", str(folder), TARGET)
    (folder / "Modelfile").write_text("FROM ./another.gguf\n")
    ran = cli("push", str(folder), TARGET)
    assert ran.code == 2
    assert "error[would-overwrite]" in ran.err
    assert "Modelfile" in ran.err
    assert commits(hub) == 1
    assert cli("push", str(folder), TARGET, "--force").code == 0
    assert stored(hub)["Modelfile"] == b"FROM ./another.gguf\n"


def test_a_file_that_is_not_the_recorded_one_is_not_published(
    cli: Cli, hub: HubServer, folder: Path
) -> None:
    file = folder / f"{MODEL}-Q8_0.gguf"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    ran = cli("push", str(folder), TARGET)
    assert ran.code == 8
    assert "error[not-as-recorded]" in ran.err
    assert not hub.requests


def test_one_file_without_a_manifest(cli: Cli, hub: HubServer, folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert cli("push", str(folder / f"{MODEL}-Q4_0.gguf"), TARGET).code == 0
    assert "| Q4_0 |" in stored(hub)["README.md"].decode()
    assert f"{MODEL}-Q8_0.gguf" not in stored(hub)


@pytest.mark.parametrize(
    ("token", "repo", "reference", "code"),
    [
        (READER, TARGET, "token-refused", 5),
        ("", TARGET, "token-refused", 5),
        (TOKEN, "other/theirs", "token-refused", 5),
        (TOKEN, "no-slash", "bad-repository-name", 2),
        (TOKEN, "user/name@main", "bad-repository-name", 2),
    ],
)
def test_who_may_not_write_is_told(
    token: str,
    repo: str,
    reference: str,
    code: int,
    cli: Cli,
    hub: HubServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    ran = cli("push", str(folder), repo)
    assert ran.code == code
    assert f"error[{reference}]" in ran.err
    assert not token or token not in ran.err


def test_a_token_that_may_not_write_is_found_before_the_conversion(
    cli: Cli, hub: HubServer, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = ("-o", str(output), "--push", TARGET, "--token", READER)
    ran = cli("convert", str(checkpoint(MODEL)), *arguments)
    assert ran.code == 5
    assert not output.exists()


def test_the_token_reaches_the_hub_and_nobody_else(
    cli: Cli, hub: HubServer, folder: Path, tmp_path: Path
) -> None:
    ran = cli("push", str(folder), TARGET)
    assert hub.tokens_seen("hub") == {TOKEN}
    assert hub.tokens_seen("storage") == set()
    assert TOKEN not in ran.out + ran.err
    assert all(TOKEN.encode() not in data for data in stored(hub).values())


def test_what_cannot_be_pushed_is_told(cli: Cli, hub: HubServer, folder: Path) -> None:
    assert "error[nothing-to-push]" in cli("push", str(folder / "Modelfile"), TARGET).err
    assert "error[nothing-to-push]" in cli("push", "./no/such/folder", TARGET).err
    other = folder.parent / "second"
    other.mkdir()
    shutil.copy(folder / f"{MODEL}-Q4_0.gguf", other / "x.gguf")
    assert "error[several-folders]" in cli("push", str(folder), str(other), TARGET).err
    assert not hub.requests


def test_what_was_pushed_can_be_verified_after_a_download(
    cli: Cli, hub: HubServer, folder: Path, tmp_path: Path
) -> None:
    cli("push", str(folder), TARGET)
    down = tmp_path / "down"
    down.mkdir()
    for name, data in stored(hub).items():
        (down / name).write_bytes(data)
    for file in down.glob("*.gguf"):
        found = cli("verify", str(file), "--json").event("verified")
        assert found["by_manifest"]
    assert json.loads((down / "manifest.json").read_text())["outputs"]
