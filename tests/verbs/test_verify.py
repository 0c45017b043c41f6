"""`quantize verify` finds every wrong byte, and says which tensor has it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quantize import api
from quantize.errors import VerificationError
from quantize.formats.gguf import TensorEntry, data_offsets, encode_header
from quantize.formats.kv import KV
from quantize.progress import NullProgress
from quantize.publish.manifest_check import check_digests, recorded
from quantize.verbs.verify import verify
from tests.support.cli_runner import Cli
from tests.support.saved_again import copied, edit_json

Folder = Callable[[str], Path]
MODEL = "llama2-spm"
NUMPY = ("--kernels", "numpy")


@pytest.fixture(scope="module")
def source(checkpoint: Folder) -> Path:
    return checkpoint(MODEL)


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    options = api.Options(types=("Q4_K_M",), output=folder, kernels="numpy")
    return api.convert(str(source), options).files[0].path


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """The file with its manifest, to be spoiled."""
    for path in (made, made.with_name("manifest.json")):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / made.name


def flip(file: Path, offset: int, mask: int = 1) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        (byte,) = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([byte ^ mask]))


def tensor_at(made: Path, offset: int) -> str | None:
    """The tensor that has the byte at `offset`, by the manifest."""
    (output,) = json.loads(made.with_name("manifest.json").read_text())["outputs"]
    for tensor in output["tensors"]:
        if tensor["offset"] <= offset < tensor["offset"] + tensor["nbytes"]:
            return str(tensor["name"])
    return None


def test_a_file_that_is_fine(cli: Cli, file: Path, source: Path) -> None:
    ran = cli("verify", str(file), "--source", str(source), "--json", *NUMPY)
    assert ran.code == 0, ran.err
    found = ran.event("verified")
    assert found["by_manifest"]
    assert found["compared"] == found["tensors"] > 10
    assert "is fine" in cli("verify", str(file)).out


def test_a_vocabulary_that_cuts_texts_wrongly_is_told(
    cli: Cli, checkpoint: Folder, tmp_path: Path
) -> None:
    """As llama.cpp's converter writes it: one score for all, and [INST] an ordinary text."""
    folder = copied(checkpoint("mistral-spm"), tmp_path)
    (folder / "tokenizer.model").unlink()
    template = "{{ bos_token }}[INST] {{ messages[0].content }} [/INST]"
    edit_json(folder / "tokenizer_config.json", lambda it: it.update(chat_template=template))
    doubts = {}
    for strict in (True, False):
        options = api.Options(
            types=("F16",), output=tmp_path / f"{strict}", jobs=1, strict_parity=strict
        )
        file = api.convert(str(folder), options).files[0].path
        doubts[strict] = verify(file).doubts
        assert ("is whole" if strict else "is fine") in cli("verify", str(file)).out
        assert cli("verify", str(file), "--json").event("verified")["doubts"] == [*doubts[strict]]
    assert doubts[False] == ()
    scores, marks = doubts[True]
    assert scores.startswith("all scores of the vocabulary are equal")
    assert "typed as normal text: [INST], [/INST];" in marks


def test_every_one_of_200_flipped_bits_is_found_and_its_tensor_named(
    file: Path, made: Path
) -> None:
    chance = random.Random(1)  # noqa: S311 (the same flips in every run)
    record = recorded(file)
    assert record is not None
    size = file.stat().st_size
    for _ in range(200):
        offset, mask = chance.randrange(size), 1 << chance.randrange(8)
        flip(file, offset, mask)
        with pytest.raises(VerificationError) as raised:
            check_digests(file, record, NullProgress())
        flip(file, offset, mask)
        name = tensor_at(made, offset) or "header or padding"
        assert raised.value.where == f"{file.name}: {name}"
    check_digests(file, record, NullProgress())


def test_flipped_bits_are_found_by_the_source_alone(file: Path, made: Path, source: Path) -> None:
    file.with_name("manifest.json").unlink()
    chance = random.Random(2)  # noqa: S311 (as above)
    (output,) = json.loads(made.with_name("manifest.json").read_text())["outputs"]
    start = min(tensor["offset"] for tensor in output["tensors"])
    options = api.VerifyOptions(kernels="numpy")
    for _ in range(3):
        offset = chance.randrange(start, file.stat().st_size)
        flip(file, offset)
        with pytest.raises(VerificationError) as raised:
            verify(file, str(source), options)
        flip(file, offset)
        assert (tensor_at(made, offset) or "") in str(raised.value.where)
    assert verify(file, str(source), options).compared == len(output["tensors"])


@pytest.mark.parametrize("place", [0, 5, 9, 40])
def test_a_header_that_cannot_be_read_ends_in_code_8(cli: Cli, file: Path, place: int) -> None:
    file.with_name("manifest.json").unlink()
    flip(file, place, 0x40)
    ran = cli("verify", str(file))
    assert ran.code == 8
    assert "error[bad-structure]" in ran.err


def test_an_error_names_the_tensor(cli: Cli, file: Path, made: Path) -> None:
    offset = file.stat().st_size - 100
    flip(file, offset)
    ran = cli("verify", str(file))
    assert ran.code == 8
    assert "error[not-as-recorded]" in ran.err
    assert str(tensor_at(made, offset)) in ran.err


def test_a_file_that_was_cut_or_grew(cli: Cli, file: Path) -> None:
    data = file.read_bytes()
    for spoiled in (data[:-1], data + b"\0"):
        file.write_bytes(spoiled)
        ran = cli("verify", str(file))
        assert ran.code == 8
        assert "its size" in ran.err
    file.with_name("manifest.json").unlink()
    for spoiled in (data[:-33], data + b"\0" * 40, data + b"x"):
        file.write_bytes(spoiled)
        assert cli("verify", str(file)).code == 8


def test_another_source_is_told(cli: Cli, file: Path, checkpoint: Folder) -> None:
    other = checkpoint("mistral-spm")
    ran = cli("verify", str(file), "--source", str(other), *NUMPY)
    assert ran.code == 8
    assert "error[not-from-source]" in ran.err


def test_another_weight_of_the_source_is_told(
    cli: Cli, file: Path, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / MODEL
    shutil.copytree(source, folder)
    (weights,) = folder.glob("*.safetensors")
    flip(weights, weights.stat().st_size - 3, 0x10)
    ran = cli("verify", str(file), "--source", str(folder), *NUMPY)
    assert ran.code == 8
    assert "error[not-from-source]" in ran.err
    assert ".weight" in ran.err


def test_a_sample_makes_so_many_tensors_again(cli: Cli, file: Path, source: Path) -> None:
    ran = cli("verify", str(file), "--source", str(source), "--sample", "3", "--json", *NUMPY)
    assert ran.event("verified")["compared"] == 3


def test_a_key_value_that_differs_is_named(cli: Cli, file: Path, source: Path) -> None:
    data = file.read_bytes()
    place = data.index(b"llama.rope.freq_base") + len(b"llama.rope.freq_base") + 4
    flip(file, place + 2)
    manifest = file.with_name("manifest.json")
    document = json.loads(manifest.read_text())
    document["outputs"][0]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(document))
    ran = cli("verify", str(file), "--source", str(source), *NUMPY)
    assert ran.code == 8
    assert "llama.rope.freq_base" in ran.err


def test_options_are_taken_from_the_manifest(cli: Cli, source: Path, tmp_path: Path) -> None:
    options = ("-t", "Q8_0", "--name", "Another Name", "-o", str(tmp_path))
    cli("convert", str(source), "-q", *options, *NUMPY)
    (file,) = tmp_path.glob("*.gguf")
    ran = cli("verify", str(file), "--source", str(source), *NUMPY)
    assert ran.code == 0, ran.err


# What a file may be wrong in although it can be read: which kind of file, and what is told.
KVS = (
    KV("general.architecture", "STRING", "grok"),  # what it needs is not known
    KV("grok.block_count", "UINT32", 1),
    KV("grok.embedding_length", "UINT32", 32),
)
GOOD = {
    "token_embd.weight": np.ones((4, 32), np.float32),
    "blk.0.ffn_up.weight": np.ones((4, 32), np.float32),
}


def write(
    folder: Path,
    tensors: Mapping[str, NDArray[np.float32]] = GOOD,
    kvs: tuple[KV, ...] = KVS,
    fill: bytes = b"\0",
) -> Path:
    offsets, _ = data_offsets([array.nbytes for array in tensors.values()])
    entries = [
        TensorEntry(name, array.shape, "F32", offset)
        for (name, array), offset in zip(tensors.items(), offsets, strict=True)
    ]
    data = bytearray(encode_header(kvs, entries))
    start = len(data)
    for array, offset in zip(tensors.values(), offsets, strict=True):
        data += fill * (start + offset - len(data)) + array.tobytes()
    path = folder / "x.gguf"
    path.write_bytes(data)
    return path


def spoiled(value: float) -> NDArray[np.float32]:
    rows = np.ones((4, 32), np.float32)
    rows[2, 3] = value
    return rows


def test_a_small_file_without_faults_is_fine(tmp_path: Path) -> None:
    assert verify(write(tmp_path)).tensors == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_found(tmp_path: Path, value: float) -> None:
    path = write(tmp_path, {**GOOD, "blk.0.x": spoiled(value)})
    with pytest.raises(VerificationError, match=r"blk\.0\.x"):
        verify(path)


def test_a_missing_block_is_found(tmp_path: Path) -> None:
    path = write(tmp_path, {"token_embd.weight": GOOD["token_embd.weight"]})
    with pytest.raises(VerificationError, match=r"blk\.0"):
        verify(path)


def test_rows_of_the_vocabulary_are_counted(tmp_path: Path) -> None:
    tokens = KV("tokenizer.ggml.tokens", "ARRAY[STRING]", ("a", "b", "c"))
    with pytest.raises(VerificationError, match="4 embedding rows for 3 tokens"):
        verify(write(tmp_path, kvs=(*KVS, tokens)))


def test_shapes_are_held_against_the_key_values(tmp_path: Path) -> None:
    kvs = (*KVS[:2], KV("grok.embedding_length", "UINT32", 64))
    with pytest.raises(VerificationError, match=r"token_embd\.weight"):
        verify(write(tmp_path, kvs=kvs))


def test_bytes_between_tensors_are_zero(tmp_path: Path) -> None:
    odd = np.ones((1, 3), np.float32)
    tensors = {**GOOD, "blk.0.y": odd, "blk.0.z": odd}
    assert verify(write(tmp_path, tensors)).tensors == 4
    with pytest.raises(VerificationError, match=r"before blk\.0\.z"):
        verify(write(tmp_path, tensors, fill=b"x"))
