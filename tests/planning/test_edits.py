"""Other key-values, fewer blocks, part of a matrix: llama-quantize's files, told in the plan."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantize import api
from quantize.errors import QuantizeError, UsageError
from quantize.formats.gguf_read import read_header
from quantize.planning.edits import edits, edits_of, edits_of_record, parse_override, said
from quantize.verbs.verify import verify
from tests.support.cli_runner import Cli
from tests.support.edit_cases import CASES
from tests.support.paths import DATA

Folder = Callable[[str], Path]
GOLDENS = DATA / "edits.txt"


@pytest.fixture
def matrix(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The model's matrix in the working folder: the files have its path as it is given."""
    monkeypatch.chdir(tmp_path)

    def copy(name: str) -> str:
        shutil.copy(kit / "models" / name / "imatrix.gguf", tmp_path)
        return "imatrix.gguf"

    return copy


def planned(cli: Cli, source: str, *arguments: str) -> tuple[dict[str, str], list[str]]:
    """Types by name, and the notes."""
    told = cli("plan", source, "-t", "Q4_K_M", "--json", *arguments)
    tensors = {one["name"]: one["type"] for one in told.event("plan")["tensors"]}
    return tensors, [one["text"] for one in told.events if one["event"] == "note"]


def kvs_of(path: Path) -> dict[str, tuple[str, Any]]:
    data = path.read_bytes()
    header = read_header(lambda offset, n: data[offset : offset + n], len(data), path.name)
    return {kv.key: (kv.type, kv.value) for kv in header.kvs}


def refused(source: str, **options: Any) -> QuantizeError:
    with pytest.raises(QuantizeError) as caught:
        api.plan(source, api.Options(types=("Q4_K_M",), **options))
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=[f"{name} {text}" for name, text in CASES])
def test_files_are_those_of_llama_quantize(
    case: tuple[str, str], cli: Cli, checkpoint: Folder, matrix: Callable[[str], str]
) -> None:
    name, options = case
    lines = [line.split("  ", 1) for line in GOLDENS.read_text("utf-8").splitlines()]
    golden = {case: sha256 for sha256, case in lines}
    given = options.replace("--imatrix", f"--imatrix {matrix(name)}").split()
    told = cli("convert", str(checkpoint(name)), *given, "-o", "out", "-j", "1", "--json")
    assert told.event("file")["sha256"] == golden[f"{name} {options}"]


def test_the_plan_tells_what_an_override_replaces(cli: Cli, llama: str) -> None:
    own = "llama.attention.head_count=int:4"
    _, notes = planned(cli, llama, "--override-kv", own, "--override-kv", "a.b=str:")
    assert notes == [f"--override-kv {own}: in place of 8", "--override-kv a.b=str:: a new key"]


def test_the_plan_tells_which_blocks_stay(cli: Cli, llama: str) -> None:
    whole, _ = planned(cli, llama)
    tensors, notes = planned(cli, llama, "--prune-layers", "1,0")
    assert notes == [
        "--prune-layers: 2 of 4 blocks are left, without 0, 1; block 2 becomes 0 and so on"
    ]
    assert {name.split(".")[1] for name in tensors if name.startswith("blk.")} == {"0", "1"}
    assert len(tensors) == len(whole) - 2 * sum(name.startswith("blk.0.") for name in whole)


def test_the_plan_tells_which_entries_of_a_matrix_are_used(
    cli: Cli, llama: str, matrix: Callable[[str], str]
) -> None:
    arguments = ("--imatrix", matrix("llama31-bpe"), "--exclude-weights", "ffn_down")
    _, notes = planned(cli, llama, *arguments)
    assert notes == [
        "imatrix: 24 of 28 entries are used: --exclude-weights ffn_down",
        (
            "imatrix: no entry, quantized as without a matrix: blk.0.ffn_down.weight, "
            "blk.1.ffn_down.weight, blk.2.ffn_down.weight and 1 more"
        ),
    ]
    _, notes = planned(cli, llama, *arguments, "--prune-layers", "0,1,2")
    assert notes[-1] == ("imatrix: no entry, quantized as without a matrix: blk.0.ffn_down.weight")


def test_types_that_need_a_matrix_refuse_where_its_entry_is_excluded(
    llama: str, matrix: Callable[[str], str]
) -> None:
    options = api.Options(
        types=("IQ2_XS",), imatrix=matrix("llama31-bpe"), exclude_weights=["blk.1.ffn_up"]
    )
    with pytest.raises(UsageError, match="lacks the tensor") as caught:
        api.plan(llama, options)
    assert (caught.value.code, caught.value.where) == ("needs-imatrix", "blk.1.ffn_up.weight")


@pytest.mark.parametrize(
    "text",
    [
        "", "key", "=int:1", "key=int", "key=1", "key=INT:1", "key=i32:1", "key=int:", "key=int:x",
        "key=int:1.5", "key=int:-1", "key=int:4294967296", "key=float:", "key=float:nan",
        "key=float:1e39", "key=float:-inf", "key=bool:True", "key=bool:1", f"key=str:{'ä' * 64}",
        f"{'k' * 128}=int:1", "key=str:\udcff", "general.architecture=str:gemma",
        "general.alignment=int:64", "split.count=int:2",
    ],
)  # fmt: skip
def test_values_that_llama_quantize_would_change_or_misread_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_override(text)
    assert caught.value.code == "bad-override"


def test_an_override_says_itself_as_it_was_given() -> None:
    for text in ("a=int:7", "a=float:0.1", "a=bool:true", "a=bool:false", "a=str:b=c:d", "a=str:"):
        assert said(parse_override(text)) == text


def test_a_key_is_overridden_once() -> None:
    with pytest.raises(UsageError) as caught:
        edits(["a=int:1", "a=int:2"])
    assert caught.value.code == "bad-override"
    assert caught.value.reason == "the key is given twice"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("llama.context_length=str:4096", "llama.context_length=int:VALUE"),
        ("llama.rope.freq_base=int:10000", "llama.rope.freq_base=float:VALUE"),
        ("general.name=bool:true", "general.name=str:VALUE"),
        ("tokenizer.ggml.tokens=str:a", "an array cannot be replaced"),
    ],
)
def test_a_value_of_another_kind_is_refused(text: str, hint: str, llama: str) -> None:
    error = refused(llama, override_kv=[text])
    assert (error.code, error.hint) == ("other-kind", hint)


@pytest.mark.parametrize("layers", ["", "a", "1,", "-1", "1 2", "1.5", "²"])
def test_what_is_no_list_of_blocks_is_refused(layers: str) -> None:
    with pytest.raises(UsageError) as caught:
        edits(pruned=layers)
    assert caught.value.code == "bad-layers"


@pytest.mark.parametrize("layers", ["4", "0,7", "0,1,2,3"])
def test_blocks_that_are_not_there_or_all_of_them_are_refused(layers: str, llama: str) -> None:
    error = refused(llama, prune_layers=layers)
    assert error.code == "bad-layers"
    assert error.message == "the model's blocks are 0 to 3, and one must stay"


def test_a_model_whose_key_values_speak_of_blocks_is_not_pruned(checkpoint: Folder) -> None:
    error = refused(str(checkpoint("gemma4")), prune_layers="0")
    assert error.code == "unprunable"
    assert "has a value for each of" in str(error.reason)


def test_blocks_that_come_first_and_are_others_take_their_number_with_them(
    checkpoint: Folder,
) -> None:
    source = str(checkpoint("deepseek2-8x"))
    error = refused(source, prune_layers="0")
    assert error.code == "unprunable"
    assert error.hint == "--override-kv deepseek2.leading_dense_block_count=int:0"
    planned = api.plan(
        source,
        api.Options(
            types=("Q8_0",),
            override_kv=["deepseek2.leading_dense_block_count=int:0"],
            prune_layers="0",
        ),
    )
    assert planned.plans[0].kvs.value("deepseek2.leading_dense_block_count") == 0


def test_names_that_are_in_no_entry_and_matrices_of_nothing_are_refused(
    llama: str, matrix: Callable[[str], str]
) -> None:
    file = Path(matrix("llama31-bpe"))
    for changes in (
        {"exclude_weights": ["ffn_down", "attn_V"]},
        {"include_weights": ["x"]},
        {"exclude_weights": ["weight"]},
    ):
        error = refused(llama, **changes, imatrix=file)
        assert error.code == "unmatched-weights"


def test_options_that_contradict_each_other_are_refused(llama: str) -> None:
    error = refused(llama, exclude_weights=["a"], include_weights=["b"])
    assert error.code == "exclude-or-include"
    assert refused(llama, include_weights=["ffn"]).code == "no-imatrix"
    error = refused(llama, prune_layers="1", adapter_only=True)
    assert error.code == "edits-of-adapter"


def test_the_manifest_and_verify_know_what_was_changed(
    llama: str, matrix: Callable[[str], str], tmp_path: Path
) -> None:
    options = api.Options(
        types=("Q4_K_M",),
        override_kv=["llama.context_length=int:99"],
        prune_layers="1",
        exclude_weights=["attn_q"],
        imatrix=matrix("llama31-bpe"),
        output=tmp_path / "o",
    )
    (file,) = api.convert(llama, options).files
    recorded = json.loads((tmp_path / "o" / "manifest.json").read_text())["options"]["edits"]
    assert recorded == {
        "override_kv": ["llama.context_length=int:99"],
        "prune_layers": [1],
        "exclude_weights": ["attn_q"],
    }
    assert edits_of_record(recorded) == edits_of(options, options)
    assert verify(file.path, llama, api.VerifyOptions(imatrix=options.imatrix)).compared
    kvs = kvs_of(file.path)
    assert list(kvs)[-1] == "llama.block_count"
    assert (kvs["llama.block_count"], kvs["llama.context_length"]) == (
        ("UINT32", 3),
        ("UINT32", 99),
    )


def test_each_option_makes_another_plan(llama: str, matrix: Callable[[str], str]) -> None:
    plain = api.Options(types=("Q4_K_M",), imatrix=matrix("llama31-bpe"))
    changes: list[dict[str, Any]] = [
        {}, {"override_kv": ["a=int:1"]}, {"override_kv": ["a=int:2"]}, {"prune_layers": "1"},
        {"prune_layers": "2"}, {"exclude_weights": ["blk.0.attn_q"]}, {"include_weights": ["attn"]},
    ]  # fmt: skip
    digests = [api.plan(llama, replace(plain, **one)).plans[0].digest for one in changes]
    assert len(set(digests)) == len(changes)


def test_steering_names_the_blocks_of_the_pruned_model(llama: str) -> None:
    options = api.Options(types=("Q4_K_M,tensor-type=blk.2.=Q8_0",), prune_layers="1")
    kept = {one.name: one for one in api.plan(llama, options).plans[0].tensors}
    assert kept["blk.2.ffn_up.weight"].type == "Q8_0"
    assert "layers.3." in kept["blk.2.ffn_up.weight"].sources[0]
