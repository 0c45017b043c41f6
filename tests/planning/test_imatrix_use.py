"""Importance matrices in use: what is told, refused, recorded, verified and shown."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantize import api
from quantize.errors import UsageError
from quantize.formats.imatrix_files import read_imatrix
from quantize.progress import NullProgress
from quantize.verbs.verify import verify
from tests.support.cli_runner import Cli
from tests.support.imatrix_files import Entry, digests_of, entries_of, header_of, write_gguf

Folder = Callable[[str], Path]


@pytest.fixture
def matrix(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of llama31-bpe, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(kit / "models" / "llama31-bpe" / "imatrix.gguf", tmp_path)
    return Path("imatrix.gguf")


@pytest.fixture
def entries(kit: Path) -> dict[str, Entry]:
    """A matrix for llama31-bpe, to be spoiled."""
    return entries_of(kit / "models" / "llama31-bpe" / "imatrix.gguf")


DOWN = "blk.0.ffn_down.weight"


def test_a_missing_tensor_is_told_and_done_without(
    entries: dict[str, Entry], llama: str, tmp_path: Path
) -> None:
    del entries[DOWN]
    matrix = write_gguf(tmp_path / "m.gguf", entries)
    planned = api.plan(llama, api.Options(types=("Q4_0",), imatrix=matrix))
    assert [note for note in planned.notes if DOWN in note]
    weighted = {tensor.name for tensor in planned.plans[0].tensors if tensor.imatrix is not None}
    assert weighted == set(entries)


@pytest.mark.parametrize("type_name", ["Q2_K_S", "IQ2_XS", "IQ1_S", "IQ3_XXS"])
def test_a_missing_tensor_of_few_bits_is_refused(
    type_name: str, entries: dict[str, Entry], llama: str, tmp_path: Path
) -> None:
    """llama-quantize says so in the middle of its work."""
    del entries["blk.3.attn_q.weight"]
    matrix = write_gguf(tmp_path / "m.gguf", entries)
    with pytest.raises(UsageError) as caught:
        api.plan(llama, api.Options(types=(type_name,), imatrix=matrix))
    assert caught.value.code == "needs-imatrix"
    assert caught.value.where == "blk.3.attn_q.weight"


@pytest.mark.parametrize("type_name", ["IQ1_S", "IQ2_XXS", "IQ2_XS"])
def test_embeddings_of_few_bits_are_refused_without_an_entry(
    type_name: str, kit: Path, llama: str
) -> None:
    """ggml ends the process: `missing quantization weights`."""
    matrix = kit / "models" / "llama31-bpe" / "imatrix.gguf"
    options = api.Options(types=("Q4_K_M",), imatrix=matrix, token_embedding_type=type_name)
    with pytest.raises(UsageError, match="lacks the tensor") as caught:
        api.plan(llama, options)
    assert caught.value.where == "token_embd.weight"


@pytest.mark.parametrize("size", [256, 1024])
def test_a_matrix_of_another_size_is_refused(
    size: int, entries: dict[str, Entry], llama: str, tmp_path: Path
) -> None:
    entries["blk.0.attn_q.weight"] = (np.ones(size, np.float32), [1])
    matrix = write_gguf(tmp_path / "m.gguf", entries)
    with pytest.raises(UsageError, match=f"{size} values, where the tensor needs 512") as caught:
        api.plan(llama, api.Options(types=("Q4_K_M",), imatrix=matrix))
    assert str(caught.value.where).endswith("blk.0.attn_q.weight")


def test_embeddings_of_another_size_are_passed_over(
    entries: dict[str, Entry], llama: str, tmp_path: Path
) -> None:
    """As llama-quantize does: they are looked up, not multiplied."""
    entries["token_embd.weight"] = (np.ones(7, np.float32), [1])
    planned = api.plan(
        llama,
        api.Options(types=("Q4_K_M",), imatrix=write_gguf(tmp_path / "m.gguf", entries)),
    )
    by_name = {tensor.name: tensor for tensor in planned.plans[0].tensors}
    assert by_name["token_embd.weight"].imatrix is None


def test_a_matrix_of_another_model_is_refused(kit: Path, llama: str, tmp_path: Path) -> None:
    matrix = write_gguf(tmp_path / "m.gguf", {"enc.blk.0.x.weight": (np.ones(4, np.float32), [1])})
    with pytest.raises(UsageError) as caught:
        api.plan(llama, api.Options(types=("Q4_K_M",), imatrix=matrix))
    assert caught.value.code == "other-imatrix"
    other = kit / "models" / "mixtral-8x" / "imatrix.gguf"
    with pytest.raises(UsageError, match="values, where the tensor needs"):
        api.plan(llama, api.Options(types=("Q4_K_M",), imatrix=other))


def test_entries_that_the_model_lacks_are_told(
    entries: dict[str, Entry], llama: str, tmp_path: Path
) -> None:
    entries["blk.77.attn_q.weight"] = (np.ones(512, np.float32), [1])
    matrix = write_gguf(tmp_path / "m.gguf", entries)
    planned = api.plan(llama, api.Options(types=("Q4_K_M",), imatrix=matrix))
    assert [note for note in planned.notes if "the model lacks blk.77.attn_q.weight" in note]


def test_floats_take_the_key_values_and_no_more(
    matrix: Path, llama: str, kit: Path, tmp_path: Path
) -> None:
    """As llama-quantize does, though the matrix has no effect on floats."""
    options = api.Options(types=("F16",), output=tmp_path / "with", imatrix=matrix, jobs=1)
    (file,) = api.convert(llama, options).files
    (without,) = api.convert(llama, api.Options(types=("F16",), output=tmp_path, jobs=1)).files
    assert digests_of(file.path) == digests_of(without.path)
    added = [kv.key for kv in header_of(file.path).kvs[-4:]]
    assert added == [
        "quantize.imatrix.file", "quantize.imatrix.dataset", "quantize.imatrix.entries_count",
        "quantize.imatrix.chunks_count",
    ]  # fmt: skip


def test_names_are_cut_where_llama_quantize_cuts_them(
    entries: dict[str, Entry], llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127 bytes, in the midst of a character if it happens so; without chunks, no count of them."""
    monkeypatch.chdir(tmp_path)
    name = "ä" * 70 + ".gguf"
    texts = ["first.txt" + "x" * 130, "second.txt"]
    matrix = write_gguf(Path(name), entries, datasets=texts, chunks=0)
    (plan,) = api.plan(llama, api.Options(types=("Q4_0",), imatrix=matrix)).plans
    assert [(kv.key, kv.value) for kv in plan.kvs if kv.key.startswith("quantize.")] == [
        ("quantize.imatrix.file", name.encode()[:127]),
        ("quantize.imatrix.dataset", texts[0][:127]),
        ("quantize.imatrix.entries_count", len(entries)),
    ]


def test_the_plan_depends_on_the_matrix(
    entries: dict[str, Entry], llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def digest() -> str:
        matrix = write_gguf(Path("m.gguf"), entries)
        return api.plan(llama, api.Options(types=("Q4_0",), imatrix=matrix)).plans[0].digest

    first = digest()
    assert digest() == first
    values = entries[DOWN][0]
    values[5] += 1
    assert digest() != first


def test_columns_without_importance_are_told(
    entries: dict[str, Entry], llama: str, tmp_path: Path
) -> None:
    """Other programs have crashed on a whole tensor of them, on a block, and on single ones."""
    entries[DOWN] = (np.zeros_like(entries[DOWN][0]), [1])
    entries["blk.1.ffn_down.weight"][0][:256] = 0
    entries["blk.2.ffn_down.weight"][0][::7] = 0
    matrix = write_gguf(tmp_path / "m.gguf", entries)
    options = api.Options(types=("Q4_0",), output=tmp_path / "out", imatrix=matrix, jobs=1)
    (note,) = [note for note in api.plan(llama, options).notes if "importance 0" in note]
    assert f"{768 + 256 + len(range(0, 768, 7))} columns" in note
    (file,) = api.convert(llama, options).files
    assert verify(file.path).tensors > 10


def test_experts_that_were_never_seen_are_told(kit: Path, checkpoint: Folder) -> None:
    matrix = kit / "models" / "mixtral-8x" / "imatrix.gguf"
    options = api.Options(types=("Q4_K_M",), imatrix=matrix)
    planned = api.plan(str(checkpoint("mixtral-8x")), options)
    (note,) = [note for note in planned.notes if "never seen" in note]
    assert "6 of 48 expert matrices" in note
    assert "and 3 more" in note


def test_the_manifest_records_the_matrix(matrix: Path, llama: str, tmp_path: Path) -> None:
    options = api.Options(types=("Q8_0",), output=tmp_path / "out", imatrix=matrix, jobs=1)
    converted = api.convert(llama, options)
    recorded = json.loads(converted.manifest.read_text())["options"]["imatrix"]
    sha = hashlib.sha256(matrix.read_bytes()).hexdigest()
    assert recorded == {"file": "imatrix.gguf", "sha256": sha, "chunks": 8}


def test_verify_makes_tensors_again_with_the_matrix(
    cli: Cli, matrix: Path, llama: str, tmp_path: Path
) -> None:
    options = api.Options(types=("Q4_0",), output=tmp_path / "out", imatrix=matrix, jobs=1)
    (file,) = api.convert(llama, options).files
    elsewhere = tmp_path / "elsewhere" / "again.gguf"
    elsewhere.parent.mkdir()
    shutil.copy(matrix, elsewhere)
    sample = ("--source", llama, "--sample", "4", "--kernels", "numpy")
    for manifest in (True, False):
        if not manifest:
            (tmp_path / "out" / "manifest.json").unlink()
        fine = cli("verify", str(file.path), *sample, "--imatrix", str(elsewhere))
        assert fine.code == 0, fine.err
        without = cli("verify", str(file.path), *sample)
        assert without.code == 2
        assert "error[imatrix-of-file]" in without.err
        assert "--imatrix FILE" in without.err


def test_verify_wants_the_matrix_that_was_used(
    cli: Cli, matrix: Path, entries: dict[str, Entry], llama: str, tmp_path: Path
) -> None:
    used = api.Options(types=("Q4_0",), output=tmp_path / "used", imatrix=matrix, jobs=1)
    unused = api.Options(types=("Q4_0",), output=tmp_path / "unused", jobs=1)
    (made,), (plain,) = api.convert(llama, used).files, api.convert(llama, unused).files
    other = write_gguf(tmp_path / "other.gguf", entries)
    another = cli("verify", str(made.path), "--source", llama, "--imatrix", str(other))
    assert another.code == 2
    assert "another importance matrix" in another.err
    none = cli("verify", str(plain.path), "--source", llama, "--imatrix", str(matrix))
    assert none.code == 2
    assert "without an importance matrix" in none.err
    # Without a manifest nothing tells which matrix it was, and the bytes decide.
    (tmp_path / "used" / "manifest.json").unlink()
    entries[DOWN][0][:] = 1
    write_gguf(other, entries)
    wrong = cli("verify", str(made.path), "--source", llama, "--imatrix", str(other))
    assert wrong.code == 8
    assert DOWN in wrong.err


class Watcher(NullProgress):
    """Keeps notes; interrupts the run as soon as anything is done, if it is told to."""

    def __init__(self, *, interrupts: bool) -> None:
        self.interrupts = interrupts
        self.notes: list[str] = []

    def advance(self, nbytes: int, item: str) -> None:
        if self.interrupts:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_another_matrix_begins_an_interrupted_file_anew(
    entries: dict[str, Entry], llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    matrix = write_gguf(Path("m.gguf"), entries)
    options = api.Options(types=("Q4_0",), imatrix=matrix, jobs=1, kernels="numpy")
    with pytest.raises(KeyboardInterrupt):
        api.convert(llama, options, Watcher(interrupts=True))
    assert list(Path().glob("*.journal"))
    entries[DOWN][0][:] = 1
    write_gguf(matrix, entries)
    watcher = Watcher(interrupts=False)
    api.convert(llama, options, watcher)
    assert [note for note in watcher.notes if "the plan is another one" in note]


@pytest.mark.parametrize("type_name", ["IQ1_S", "IQ2_XXS", "IQ2_M", "IQ3_XXS", "Q2_K_S"])
@pytest.mark.parametrize("verb", ["convert", "plan"])
def test_types_of_few_bits_are_refused_without_a_matrix(
    verb: str, type_name: str, cli: Cli, llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli(verb, llama, "-t", type_name)
    assert ran.code == 2
    assert "error[needs-imatrix]" in ran.err
    assert "--imatrix FILE" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_plan_takes_a_matrix(cli: Cli, kit: Path, llama: str) -> None:
    matrix = str(kit / "models" / "llama31-bpe" / "imatrix.gguf")
    ran = cli("plan", llama, "-t", "IQ2_XS", "--imatrix", matrix, "--json")
    assert ran.code == 0, ran.err
    assert ran.event("plan")["type"] == "IQ2_XS"
    names = [event["type"] for event in cli("plan", llama, "--json").events if "type" in event]
    more = cli("plan", llama, "--imatrix", matrix, "--json").events
    assert {event["type"] for event in more if "type" in event} > {*names, "Q2_K_S"}


def test_the_command_shows_a_matrix(cli: Cli, kit: Path) -> None:
    path = kit / "models" / "mixtral-8x" / "imatrix.gguf"
    ran = cli("imatrix", str(path))
    assert ran.code == 0, ran.err
    assert "8 chunks of 512 tokens" in ran.out
    assert "6 of 48 matrices were never seen" in ran.out
    lines = cli("imatrix", str(path), "--all").out.splitlines()
    assert len([line for line in lines if line.startswith("blk.")]) == 14
    events = cli("imatrix", str(path), "--json").events
    first, *rest = events
    assert (first["event"], first["tensors"], first["experts"], first["unseen"]) == (
        "imatrix", 14, 48, 6,
    )  # fmt: skip
    assert [event["name"] for event in rest] == list(read_imatrix(path).entries)
    for event in rest:
        values = read_imatrix(path).entries[event["name"]].values()
        assert event["columns"] == values.size
        assert event["most"][0]["importance"] == values.max()


def test_tensors_with_the_same_inputs_are_one_line(cli: Cli, models: Path) -> None:
    out = cli("imatrix", str(models / "tinyrust" / "imatrix.gguf"), "--all").out
    assert "blk.7.attn_k, attn_q, attn_v  " in out


def test_the_command_refuses_a_model(cli: Cli, tmp_path: Path, llama: str) -> None:
    options = api.Options(types=("F16",), output=tmp_path, jobs=1)
    (file,) = api.convert(llama, options).files
    ran = cli("imatrix", str(file.path))
    assert ran.code == 2
    assert "error[no-imatrix]" in ran.err


def test_an_adapter_takes_no_matrix(cli: Cli, encodings: Path, matrix: Path) -> None:
    adapter = str(encodings / "lora-bf16")
    ran = cli("convert", adapter, "--adapter-only", "--imatrix", str(matrix))
    assert ran.code == 2
    assert "error[imatrix-of-adapter]" in ran.err


def test_a_damaged_matrix_is_refused_before_the_source_is_looked_for(
    cli: Cli, matrix: Path
) -> None:
    matrix.write_bytes(matrix.read_bytes()[:-4000])
    ran = cli("convert", "nobody/nothing", "-t", "Q4_K_M", "--imatrix", str(matrix))
    assert ran.code == 4
    assert "error[truncated-file]" in ran.err
