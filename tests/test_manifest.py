"""The manifest: the same facts give the same bytes, and nothing of the machine is in it."""

from __future__ import annotations

import json
from dataclasses import replace

from quantize import __version__
from quantize.publish.manifest import (
    OutputRecord,
    SourceFile,
    SourceRecord,
    TensorRecord,
    manifest,
)

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
