"""general.* key-values: llama.cpp's converter decided, for every kit model."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.formats.kv import KV
from quantize.formats.model_card import ParameterCounts, general_kvs

# The two that say how the file was quantized, not where the model comes from.
NOT_OF_THE_CARD = {"general.file_type", "general.quantization_version"}
NO_PARAMETERS = ParameterCounts(0, 0, 0, 0)


def counts_of(tensors: dict[str, Any]) -> ParameterCounts:
    """As gguf's writer counts them (GGUFWriter.get_total_parameter_count)."""
    stacks = {name: t["ne"] for name, t in tensors.items() if "_exps." in name and len(t["ne"]) > 2}
    total = sum(math.prod(t["ne"]) for t in tensors.values())
    stacked = sum(math.prod(ne) for ne in stacks.values())
    per_expert = sum(math.prod(ne[:-1]) for ne in stacks.values())
    n_experts = max((ne[-1] for ne in stacks.values()), default=0)
    return ParameterCounts(total, total - stacked, per_expert, n_experts)


def comparable(kv: KV) -> tuple[str, str, Any]:
    if kv.type == "FLOAT32":
        return (kv.key, kv.type, float(np.float32(kv.value)))
    return (kv.key, kv.type, list(kv.value) if kv.type.startswith("ARRAY") else kv.value)


def model_names(kit_expected: Path) -> list[str]:
    return sorted(path.stem for path in kit_expected.glob("*.json"))


def test_every_kit_model_gets_the_converters_keys_in_its_order(kit: Path, tmp_path: Path) -> None:
    names = model_names(kit / "expected")
    assert len(names) == 43
    for name in names:
        expected = json.loads((kit / "expected" / f"{name}.json").read_text())
        skeleton = json.loads((kit / "models" / name / "skeleton.json").read_text())
        tokenizer = skeleton.get("tokenizer", "")
        folders = [kit / "models" / name / "extra", kit / "tokenizers" / tokenizer]
        card = next((f / "README.md" for f in folders if (f / "README.md").is_file()), None)
        generation = next(
            (
                json.loads((f / "generation_config.json").read_text())
                for f in folders
                if (f / "generation_config.json").is_file()
            ),
            None,
        )
        found = general_kvs(
            None if card is None else card.read_bytes(),
            json.loads((kit / "models" / name / "config.json").read_text()),
            generation,
            expected["kv"][0]["value"],
            name,
            counts_of(expected["tensors"]),
        )
        wanted = [
            (kv["key"], kv["type"], kv["value"])
            for kv in expected["kv"]
            if kv["key"].startswith("general.") and kv["key"] not in NOT_OF_THE_CARD
        ]
        assert [comparable(kv) for kv in found] == wanted, name


def kvs_of(card: str, **options: Any) -> dict[str, Any]:
    arguments = {"config": {}, "generation_config": None, "name": "model", **options}
    found = general_kvs(card.encode(), arch="llama", counts=NO_PARAMETERS, **arguments)
    return {kv.key: kv.value for kv in found}


def test_a_name_from_the_command_line_wins() -> None:
    card = "---\nmodel_name: From the card\n---\n"
    assert kvs_of(card)["general.name"] == "From the card"
    assert kvs_of(card, name_override="Mine")["general.name"] == "Mine"


def test_without_card_and_config_the_folder_names_the_model() -> None:
    assert kvs_of("", name="Llama-3.2-1B-Instruct") == {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Llama 3.2 1B Instruct",
        "general.finetune": "Instruct",
        "general.basename": "Llama-3.2",
        "general.size_label": "1B",
    }


@pytest.mark.parametrize(
    "card",
    [
        "",
        "no front matter",
        "---",
        "---\n---\n",
        "---\n- a list\n---\n",
        "---\nkey: [unclosed\n---\n",
        "---\n\0\n---\n",
        "---\ndate: 2024-99-99\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
    ],
)
def test_a_card_that_cannot_be_read_says_nothing(card: str) -> None:
    assert kvs_of(card) == kvs_of("")


def test_a_card_that_is_no_utf8_is_read_as_far_as_it_goes() -> None:
    found = general_kvs(
        b"---\nlicense: mit\nauthor: Andr\xe9\n---\n", {}, None, "llama", "model", NO_PARAMETERS
    )
    values = {kv.key: kv.value for kv in found}
    assert values["general.license"] == "mit"
    assert values["general.author"] == "Andr\N{REPLACEMENT CHARACTER}"


def test_yaml_that_is_no_text_becomes_text() -> None:
    card = (
        "---\nversion: 1.5\nlicense: [mit, apache-2.0]\ntags: [a, 2, null]\nlanguage:\n- no\n---\n"
    )
    found = kvs_of(card)
    assert found["general.version"] == "1.5"
    assert found["general.license"] == "mit,apache-2.0"
    assert found["general.tags"] == ("a", "2")
    assert found["general.languages"] == ("no",)


def test_what_is_empty_is_not_written() -> None:
    found = kvs_of("---\nlicense: ''\ntags: []\nlanguage: []\n---\n")
    assert not {"general.license", "general.tags", "general.languages"} & found.keys()


def test_odd_generation_configs_are_no_obstacle() -> None:
    odd = {"top_k": 50.0, "top_p": None, "temperature": "warm", "min_p": True, "sequence": ""}
    assert kvs_of("", generation_config=odd)["general.sampling.top_k"] == 50
    assert len(kvs_of("", generation_config=odd)) == len(kvs_of("")) + 1
    assert kvs_of("", generation_config=["a list"]) == kvs_of("")
    both = {"penalty_repeat": 1.5, "repetition_penalty": 2.0}
    assert kvs_of("", generation_config=both)["general.sampling.penalty_repeat"] == 1.5


def test_a_config_path_that_is_no_name_is_ignored() -> None:
    assert kvs_of("", config={"_name_or_path": 7}) == kvs_of("")
    assert kvs_of("", config={"_name_or_path": "/home/me/models/llama"}) == kvs_of("")


def test_importing_the_module_imports_no_gguf() -> None:
    import subprocess
    import sys

    program = (
        "import sys, quantize.formats.model_card;"
        "sys.exit('gguf' in sys.modules or 'yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


NESTED = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghij"))
HOSTILE = {
    "a list named ten billion times": f"a: &a [x]\n{NESTED}tags: *j\nlicense: *j\n",
    "a list inside itself": "a: &a [*a]\ntags: *a\nlanguage: *a\n",
    "lists in lists": "tags: " + "[" * 3000 + "]" * 3000 + "\n",
    "a float without digits": "a: !!float ''\nlicense: mit\n",
    "a day that is none": "a: 2020-99-99\nlicense: mit\n",
    "an hour that is none": "a: 2001-12-14t21:59:43.10-99:00\nlicense: mit\n",
    "an object of Python": "a: !!python/object/apply:os.system ['true']\nlicense: mit\n",
    "a longer text than any": "license: mit\n" + "a: b\n" * 10**6,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_card_that_is_a_trap_says_nothing(text: str) -> None:
    card = f"---\n{text}---\n".encode()
    without = general_kvs(None, {}, None, "llama", "x", NO_PARAMETERS)
    assert general_kvs(card, {}, None, "llama", "x", NO_PARAMETERS) == without
