"""The manifest: the same facts give the same bytes, and nothing of the machine is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from quantize import __version__, api
from quantize.publish.manifest import (
    OutputRecord,
    SourceFile,
    SourceRecord,
    TensorRecord,
    manifest,
)
from quantize.verbs.verify import verify

SHA = "ab" * 32
SOURCE = SourceRecord(
    "tiny",
    "llama",
    (SourceFile("model.safetensors", 9), SourceFile("config.json", 5, SHA)),
    repo="org/tiny",
    commit="c" * 40,
)
OUTPUT = OutputRecord(
    "tiny-Q8_0.gguf",
    "Q8_0",
    1234,
    SHA,
    "d" * 64,
    8.5,
    (TensorRecord("output.weight", "Q8_0", (2, 32), 96, 68, SHA),),
)
OPTIONS = {"types": ["Q8_0"], "name": None, "arch": "LlamaForCausalLM"}


def test_it_says_what_was_made_from_what() -> None:
    assert json.loads(manifest(SOURCE, OPTIONS, [OUTPUT])) == {
        "schema": 1,
        "tool": {"name": "quantize", "version": __version__},
        "source": {
            "name": "tiny",
            "arch": "llama",
            "repo": "org/tiny",
            "commit": "c" * 40,
            "files": [
                {"name": "config.json", "size": 5, "sha256": SHA},
                {"name": "model.safetensors", "size": 9},
            ],
        },
        "options": {"types": ["Q8_0"], "arch": "LlamaForCausalLM"},
        "outputs": [
            {
                "file": "tiny-Q8_0.gguf",
                "type": "Q8_0",
                "size": 1234,
                "sha256": SHA,
                "plan": "d" * 64,
                "bits_per_weight": 8.5,
                "tensors": [
                    {
                        "name": "output.weight",
                        "type": "Q8_0",
                        "shape": [2, 32],
                        "offset": 96,
                        "nbytes": 68,
                        "sha256": SHA,
                    }
                ],
            }
        ],
    }


def test_the_order_of_files_and_options_does_not_matter() -> None:
    turned = replace(SOURCE, files=SOURCE.files[::-1])
    options = dict(reversed(OPTIONS.items()))
    assert manifest(turned, options, [OUTPUT]) == manifest(SOURCE, OPTIONS, [OUTPUT])


def test_the_order_of_outputs_and_tensors_is_kept() -> None:
    second = replace(OUTPUT, file="tiny-F16.gguf")
    outputs = json.loads(manifest(SOURCE, OPTIONS, [OUTPUT, second]))["outputs"]
    assert [output["file"] for output in outputs] == ["tiny-Q8_0.gguf", "tiny-F16.gguf"]


def test_it_is_plain_ascii_with_sorted_keys_and_one_newline_at_the_end() -> None:
    text = manifest(replace(SOURCE, name="m\u00fc\udcff"), OPTIONS, [OUTPUT])
    assert text.isascii()
    assert text.endswith("}\n")
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert list(document["source"]) == sorted(document["source"])


def convert(source: Path, folder: Path, *types: str, name: str | None = None) -> Path:
    options = api.Options(types=types, output=folder, kernels="numpy", name=name)
    return api.convert(str(source), options).manifest


@pytest.fixture
def source(checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint("llama2-spm")


def test_a_type_more_is_a_record_more(source: Path, tmp_path: Path) -> None:
    """As if all types had been made at once."""
    convert(source, tmp_path / "turns", "Q8_0")
    convert(source, tmp_path / "turns", "Q4_0", "F16")
    turns = convert(source, tmp_path / "turns", "Q4_K_M,output-tensor-type=Q8_0,as=house")
    types = ("Q8_0", "Q4_0", "F16", "Q4_K_M,output-tensor-type=Q8_0,as=house")
    at_once = convert(source, tmp_path / "once", *types)
    assert turns.read_text("utf-8") == at_once.read_text("utf-8")
    for file in (tmp_path / "turns").glob("*.gguf"):
        assert verify(file, str(source)).by_manifest


def test_a_file_that_is_gone_or_made_anew_has_one_record_at_the_most(
    source: Path, tmp_path: Path
) -> None:
    convert(source, tmp_path, "Q8_0", "F16")
    next(tmp_path.glob("*Q8_0.gguf")).unlink()
    found = json.loads(convert(source, tmp_path, "F16", "Q4_0").read_bytes())
    assert [output["type"] for output in found["outputs"]] == ["F16", "Q4_0"]
    assert found["options"]["types"] == ["F16", "Q4_0"]


def test_records_of_another_making_give_way(source: Path, tmp_path: Path) -> None:
    """One manifest cannot say both."""
    convert(source, tmp_path, "Q8_0")
    alone = json.loads(convert(source, tmp_path, "F16", name="renamed").read_bytes())
    assert [output["type"] for output in alone["outputs"]] == ["F16"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"outputs": [3]}', '{"outputs": [{"file": "../x"}]}', "[" * 9999]
)
def test_a_manifest_that_is_none_is_replaced(text: str, source: Path, tmp_path: Path) -> None:
    clean = convert(source, tmp_path / "clean", "Q8_0").read_bytes()
    (tmp_path / "manifest.json").write_text(text, "utf-8")
    assert convert(source, tmp_path, "Q8_0").read_bytes() == clean
