"""The data under the other tests is complete, and the judge can say no."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.conftest import CheckGguf


def test_every_kit_model_has_an_expectation_and_a_known_tokenizer(kit: Path) -> None:
    names = sorted(path.name for path in (kit / "models").iterdir())
    assert len(names) == 43
    assert names == sorted(path.stem for path in (kit / "expected").glob("*.json"))
    tokenizers = json.loads((kit / "tokenizers.json").read_text(encoding="utf-8"))
    for name in names:
        skeleton = json.loads((kit / "models" / name / "skeleton.json").read_text(encoding="utf-8"))
        assert skeleton["tokenizer"] in tokenizers
        assert (kit / "tokenizers" / skeleton["tokenizer"]).is_dir()


@pytest.mark.parametrize("name", ["llama2-spm", "llama-sharded-mixed"])
def test_a_materialised_checkpoint_holds_its_skeleton(
    kit: Path, checkpoint: Callable[[str], Path], name: str
) -> None:
    folder = checkpoint(name)
    assert folder.name == name
    skeleton = json.loads((kit / "models" / name / "skeleton.json").read_text(encoding="utf-8"))
    stored = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="np") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - safe_open is not a mapping
                part = tensors.get_slice(key)
                stored[key] = (part.get_dtype(), list(part.get_shape()))
    assert stored == {t["name"]: (t["dtype"], t["shape"]) for t in skeleton["tensors"]}


def test_the_same_checkpoint_is_written_once(checkpoint: Callable[[str], Path]) -> None:
    config = checkpoint("llama2-spm") / "config.json"
    before = config.stat().st_mtime_ns
    assert checkpoint("llama2-spm") / "config.json" == config
    assert config.stat().st_mtime_ns == before


def test_the_judge_refuses_what_is_no_gguf(check_gguf: CheckGguf, tmp_path: Path) -> None:
    file = tmp_path / "not.gguf"
    file.write_bytes(b"GGUX" + bytes(60))
    verdict = check_gguf("llama2-spm", file, "Q4_K_M")
    assert not verdict.ok
    assert "cannot be read" in verdict.output


def test_the_real_checkpoints_are_there(tinyrust: Path, minilm: Path, models: Path) -> None:
    for folder in (tinyrust, minilm):
        assert (folder / "config.json").is_file()
        assert (folder / "model.safetensors").stat().st_size > 10_000_000
    reference = json.loads(
        (models / "minilm" / "reference_embeddings.json").read_text(encoding="utf-8")
    )
    assert len(reference["texts"]) == len(reference["vectors"]) == 12


def test_the_encodings_are_there(encodings: Path) -> None:
    cases = {path.stem for path in (encodings / "expected").glob("*.json")}
    assert len(cases) > 50
    assert all((encodings / case / "config.json").is_file() for case in cases if "lora" not in case)
