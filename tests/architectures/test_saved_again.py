"""What training tools do to a checkpoint changes nothing that it need not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gguf import GGUFReader

from quantize import api
from quantize.errors import CheckpointError
from tests.support.cousins import Cousin, cousin
from tests.support.saved_again import copied, edit_json, rename_tensors

__all__ = ["cousin"]

# Where the weights of the block that predicts further tokens are.
PREDICTORS = {
    "qwen35": ("mtp.",),
    "qwen35-mm": ("mtp.",),
    "glm4-moe-lite": ("layers.2.",),
}

F16 = api.Options(types=("F16",))


def converted(folder: Path, output: Path) -> api.Converted:
    return api.convert(str(folder), api.Options(types=("F16",), output=output, jobs=1, name="same"))


def names_in(result: api.Converted) -> frozenset[str]:
    return frozenset(tensor.name for tensor in GGUFReader(result.files[0].path).tensors)


def data_of(folder: Path, output: Path) -> bytes:
    return converted(folder, output).files[0].path.read_bytes()


@pytest.mark.parametrize("name", PREDICTORS)
def test_blocks_that_predict_may_be_absent_as_a_whole(
    name: str, cousin: Callable[[str], Cousin], tmp_path: Path
) -> None:
    whole = cousin(name).checkpoint
    folder = copied(whole, tmp_path)
    gone = PREDICTORS[name]
    rename_tensors(folder, lambda old: None if any(part in old for part in gone) else old)
    had = names_in(converted(whole, tmp_path / "a"))
    has = names_in(converted(folder, tmp_path / "b"))
    assert not any("multi-token" in note for note in api.plan(str(whole), F16).notes)
    assert any("multi-token" in note for note in api.plan(str(folder), F16).notes)
    left_out = had - has
    assert has < had
    assert len({name.split(".")[1] for name in left_out}) == 1


def test_a_block_that_predicts_may_not_be_absent_in_part(
    cousin: Callable[[str], Cousin], tmp_path: Path
) -> None:
    folder = copied(cousin("qwen35").checkpoint, tmp_path)
    rename_tensors(folder, lambda old: None if "mtp.fc" in old else old)
    with pytest.raises(CheckpointError) as caught:
        converted(folder, tmp_path / "out")
    assert caught.value.code == "missing-tensors"
    assert caught.value.where == "mtp.fc.weight"


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "base_model.model.", "module.", "module._orig_mod."]
)
def test_prefixes_of_tools_are_taken_off(
    prefix: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = checkpoint("qwen2-tied")
    folder = copied(whole, tmp_path)
    rename_tensors(folder, lambda old: prefix + old)
    planned = api.plan(str(folder), F16)
    assert f"{prefix} is taken off the names of the tensors" in planned.notes
    assert data_of(folder, tmp_path / "a") == data_of(whole, tmp_path / "b")


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "_fsdp_wrapped_module."])
def test_wrappers_of_single_blocks_are_taken_off(
    wrapper: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = checkpoint("qwen2-tied")
    folder = copied(whole, tmp_path)
    rename_tensors(folder, lambda old: old.replace("layers.1.", f"layers.1.{wrapper}"))
    planned = api.plan(str(folder), F16)
    assert f"{wrapper} is taken off the names of the tensors" in planned.notes
    assert data_of(folder, tmp_path / "a") == data_of(whole, tmp_path / "b")


def test_a_wrapper_may_come_twice(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    whole = checkpoint("gemma3-mm")
    folder = copied(whole, tmp_path)
    rename_tensors(folder, lambda old: f"model.{old}" if old.startswith("language") else old)
    assert data_of(folder, tmp_path / "a") == data_of(whole, tmp_path / "b")


def test_names_that_are_there_are_shown(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied(checkpoint("qwen2-tied"), tmp_path)
    rename_tensors(folder, lambda old: f"somebody.{old}")
    with pytest.raises(CheckpointError) as caught:
        api.plan(str(folder), F16)
    assert caught.value.code == "missing-tensors"
    assert "somebody.model.embed_tokens.weight" in (caught.value.reason or "")


def test_a_null_in_place_of_lfm2s_older_key_is_no_value(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = checkpoint("lfm2")
    folder = copied(whole, tmp_path)
    edit_json(folder / "config.json", lambda config: config.update(full_attn_idxs=None))
    assert data_of(folder, tmp_path / "a") == data_of(whole, tmp_path / "b")
