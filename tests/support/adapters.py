"""Adapters of the kit and of tinyrust: merged, changed, and written as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from quantize import api
from quantize.checkpoints.adapters.merged import MergedCheckpoint
from quantize.checkpoints.adapters.peft import read_adapter
from quantize.checkpoints.checkpoint import Checkpoint, open_checkpoint
from quantize.storage.local import LocalFolder
from quantize.tensors import as_rows
from tests.support.paths import DATA

GOLDENS = DATA / "adapters"
BASES = {
    "lora-bf16": "lora-base",
    "lora-dora": "lora-base",
    "lora-embedding": "lora-base",
    "lora-gpt2-fan-in-fan-out": "lora-gpt2-base",
    "lora-layers-subset": "lora-base",
    "lora-modules-to-save": "lora-base",
    "lora-on-bnb-nf4": "bnb-nf4",
    "lora-patterns": "lora-base",
    "lora-plain": "lora-base",
    "lora-rslora": "lora-base",
    "lora-trainable-tokens": "lora-base",
}


def merged(encodings: Path, base: str, *adapters: str | Path) -> MergedCheckpoint:
    source = open_checkpoint(LocalFolder(encodings / base), base)
    opened = [read_adapter(LocalFolder(encodings / one), str(one)) for one in adapters]
    return MergedCheckpoint(source, opened)


def decoded(source: Checkpoint, name: str) -> NDArray[np.float32]:
    shape = source.weights[name].shape
    return source.decode_rows(name, 0, as_rows(shape)[0]).reshape(shape)


def edited_copy(
    source: Path,
    target: Path,
    settings: Mapping[str, Any] | None = None,
    tensors: Callable[[dict[str, NDArray[Any]]], None] = lambda tensors: None,
) -> Path:
    shutil.copytree(source, target)
    config = json.loads((source / "adapter_config.json").read_text("utf-8")) | (settings or {})
    (target / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    weights = target / "adapter_model.safetensors"
    if settings is None:
        found = load_file(weights)
        tensors(found)
        save_file(found, weights)
    return target


def contents(file: gguf.GGUFReader, key: str) -> Any:
    field = file.get_field(key)
    assert field is not None, key
    return field.contents()


def check_tokens(server: Any) -> None:
    for entry in json.loads((GOLDENS / "tinyrust-lora" / "expected.json").read_text("utf-8")):
        answer = server.handle_completions({
            "prompt": entry["prompt"],
            "max_tokens": len(entry["tokens"]),
            "temperature": 0.0,
            "ignore_eos": True,
            "return_tokens": True,
        })  # fmt: skip
        answer = json.loads(answer) if isinstance(answer, str) else dict(answer)
        assert answer["choices"][0]["text"] == entry["text"]


def adapter_file(encodings: Path, name: str, folder: Path, kind: str = "F32") -> Path:
    options = api.Options(types=(kind,), adapter_only=True, output=folder, jobs=1)
    return api.convert(str(encodings / name), options).files[0].path
