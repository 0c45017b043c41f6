"""Modelfiles for GGUF files: of convert's own, and of files made elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize import api
from quantize.errors import UsageError
from quantize.formats.kv import KV, KeyValues, f32, string, u32
from quantize.ollama.modelfile.existing import modelfile_of_gguf
from quantize.ollama.modelfile.parameters import PARAMETERS, parse_parameter
from quantize.ollama.modelfile.reading import read_modelfile as read_ours
from quantize.ollama.modelfile.writing import Chosen
from tests.support.cli_runner import Cli
from tests.support.good_gguf import GOOD, TENSORS, write_gguf
from tests.support.modelfile_reader import ModelfileError, read_modelfile


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    more = [f32("general.sampling.temp", 0.7), u32("tokenizer.ggml.eot_token_id", 1)]
    return write_gguf(tmp_path / "m.gguf", {**GOOD, **{kv.key: kv for kv in more}}, TENSORS)


def parameters(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in read_modelfile(text.encode()):
        if line.word == "parameter":
            found.setdefault(line.name, []).append(line.value)
    return found


def test_stops_and_sampling_come_from_the_file(cli: Cli, gguf: Path) -> None:
    ran = cli("modelfile", str(gguf))
    path = gguf.parent / "Modelfile"
    assert (ran.code, ran.out) == (0, f"{path}\n")
    text = path.read_text("utf-8")
    # The texts of ids 4 and 1, and a float32 of 0.7 in the digits that it was written with.
    assert parameters(text) == {"stop": ["<|im_end|>", "</s>"], "temperature": ["0.7"]}
    assert read_modelfile(text.encode())[0].value == "./m.gguf"


def test_a_modelfile_is_not_overwritten(cli: Cli, gguf: Path) -> None:
    path = gguf.parent / "Modelfile"
    path.write_text("mine")
    ran = cli("modelfile", str(gguf))
    assert (ran.code, path.read_text()) == (2, "mine")
    assert "error[modelfile-exists]" in ran.err


def test_a_modelfile_in_another_folder_names_the_file(cli: Cli, gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    ran = cli("modelfile", str(gguf), "-o", str(tmp_path / "there" / "Mine"))
    assert ran.code == 0
    (line, *_) = read_modelfile((tmp_path / "there" / "Mine").read_bytes())
    assert (tmp_path / "there" / line.value).resolve() == gguf.resolve()


def test_what_is_chosen(cli: Cli, gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "terms").write_text("As you like.\n")
    options = ["--system", 'Be "brief".\nAlways.', "--num-ctx", "64", "--license"]
    options += [str(tmp_path / "terms"), "--parameter", "temperature=0.1", "--parameter", "stop=X"]
    ran = cli("modelfile", str(gguf), "-o", "-", *options)
    assert ran.code == 0
    assert parameters(ran.out) == {
        "stop": ["<|im_end|>", "</s>", "X"], "temperature": ["0.1"], "num_ctx": ["64"],
    }  # fmt: skip
    texts = {line.word: line.value for line in read_modelfile(ran.out.encode())}
    assert texts["system"] == 'Be "brief".\nAlways.'
    assert texts["license"] == "As you like."
    assert not (gguf.parent / "Modelfile").exists()


def test_the_event(cli: Cli, gguf: Path) -> None:
    printed = cli("modelfile", str(gguf), "-o", "-").out
    assert cli("modelfile", str(gguf), "-o", "-", "--json").event("modelfile") == {
        "event": "modelfile", "path": None, "text": printed,
    }  # fmt: skip


def test_a_system_text_that_a_modelfile_cannot_hold_is_said() -> None:
    text = modelfile_of_gguf(["m.gguf"], KeyValues(GOOD.values()), None, Chosen(system="a\u00a0b"))
    assert 'are replaced in this text.\nSYSTEM "a b"\n' in text


@pytest.mark.parametrize("text", ["", "num_ctx", "tfs_z=1", "num_ctx=4k", "top_p=inf", "seed= 1"])
def test_no_parameters(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_parameter(text)
    assert raised.value.code == "bad-parameter"


def test_parameters_of_each_type() -> None:
    for name, make in PARAMETERS.items():
        text = {int: "-1", float: "1.5e-3"}.get(type(make("1")), "true")
        assert parse_parameter(f"{name}={text}") == (name, text)


def test_every_shard_is_named(cli: Cli, gguf: Path) -> None:
    shards = [gguf.with_name(f"m-{number:05}-of-00002.gguf") for number in (1, 2)]
    gguf.rename(shards[0])
    ran = cli("modelfile", str(shards[0]))
    assert ran.code == 2
    assert "error[no-shard]" in ran.err
    write_gguf(shards[1], {"split.no": KV("split.no", "UINT16", 1)}, {})
    # The first has the key-values, whichever is given.
    ran = cli("modelfile", str(shards[1]), "-o", "-")
    assert [line.value for line in read_modelfile(ran.out.encode()) if line.word == "from"] == [
        f"./{shard.name}" for shard in shards
    ]
    assert parameters(ran.out)["stop"] == ["<|im_end|>", "</s>"]


def test_a_license_that_only_the_model_card_names(gguf: Path) -> None:
    named = {
        "general.license": string("general.license", "other"),
        "general.license.name": string("general.license.name", "gemma"),
        "general.license.link": string("general.license.link", "https://example.org/terms"),
    }
    write_gguf(gguf, GOOD | named, TENSORS)
    text = api.modelfile_text(gguf, gguf.parent)
    assert 'with its text.\nLICENSE "gemma https://example.org/terms"\n' in text


@pytest.mark.parametrize("kind", ["adapter", "mmproj"])
def test_what_is_no_model_gets_no_modelfile(tmp_path: Path, kind: str) -> None:
    file = write_gguf(
        tmp_path / "m.gguf", GOOD | {"general.type": string("general.type", kind)}, TENSORS
    )
    with pytest.raises(UsageError) as raised:
        api.modelfile_text(file, tmp_path)
    assert raised.value.code == "no-model"


TRICKY = st.text(st.sampled_from('"""\'#FROMfrom SYSTEM ./m\t\r\n\\\u00a0ab'), max_size=60)


@given(st.one_of(TRICKY, st.text(max_size=60)))
def test_the_reader_agrees_with_the_one_of_the_tests(text: str) -> None:
    """Two readers written from the grammar, on texts that are mostly nonsense."""
    data = f"FROM ./m.gguf\n{text}".encode("utf-8", "surrogatepass")
    try:
        ours = [(c.word, c.name, c.value) for c in read_ours(data, "Modelfile").commands]
    except UsageError:
        ours = []
    try:
        theirs = [tuple(line) for line in read_modelfile(data)]
    except ModelfileError:
        theirs = []
    assert ours == theirs
