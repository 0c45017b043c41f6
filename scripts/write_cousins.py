#!/usr/bin/env python3
"""Write tests/data/cousins/NAME.tar.xz: checkpoints of architectures that the kit has no model of.

    python scripts/write_cousins.py LLAMA_CPP [NAME ...]        without names: all

NAME.toml describes one (tests/data/cousins/README.md says how). Names and shapes of its tensors are
those that transformers saves for a tiny model of that class, and what to expect of its files comes
from the converter in LLAMA_CPP (a tree of llama.cpp's sources) and from llama_model_quantize, as
in the conformance kit, whose tokenizers and programs are used. llama.cpp must load every file and
compute finite numbers with it. Nothing is downloaded.

Runs in the environment of tests/oracle/requirements.txt, with llama-cpp-python (extra `oracle`).
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import fnmatch
import hashlib
import importlib
import importlib.util
import json
import logging
import os
import runpy
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from refresh_test_data import pack

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
COUSINS = DATA / "cousins"

# Kinds of values (the kit's materialize.py), for the first glob that fits a tensor's name.
INITS = {
    "*.A_log": "uniform:0:2.7",
    "*.dt_bias": "uniform:-4:1",
    "*.D": "norm1",
    "*embed*": "w:0.03",
    "*wte*": "w:0.03",
}
# Made with exp, pow or cos: check.py compares values where another library has other last bits.
COMPUTED = ("rope_freqs.weight", "*.ssm_a")

Json = dict[str, Any]


class Kit:
    """The conformance kit, unpacked into `folder`."""

    def __init__(self, folder: Path) -> None:
        with tarfile.open(DATA / "conformance.tar.xz") as tar:
            tar.extractall(folder, filter="data")
        self.root = folder / "conformance"
        self.materialize = _module(self.root / "materialize.py").materialize
        self.gguf = _module(self.root / "check.py").Gguf
        self.tokenizers: Json = _json(self.root / "tokenizers.json")

    def token_ids(self, tokenizer: str) -> Json:
        """bos, eos and pad as a model of the kit with that tokenizer has them in its config."""
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        for model in sorted((self.root / "models").iterdir()):
            if _json(model / "skeleton.json").get("tokenizer") == tokenizer:
                config = _json(model / "config.json")
                return {name: config[name] for name in names if name in config}
        raise SystemExit(f"no model of the kit has the tokenizer {tokenizer}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    sys.path[:0] = [str(arguments.llama_cpp), str(arguments.llama_cpp / "gguf-py")]
    logging.disable(logging.WARNING)
    names = arguments.names or sorted(path.stem for path in COUSINS.glob("*.toml"))
    with tempfile.TemporaryDirectory() as folder:
        kit = Kit(Path(folder))
        for name in names:
            files = make(name, kit, arguments.llama_cpp, Path(folder) / "work" / name)
            target = COUSINS / f"{name}.tar.xz"
            target.write_bytes(pack(files))
            print(f"{name}: {target.stat().st_size:,} bytes", flush=True)


def make(name: str, kit: Kit, llama_cpp: Path, work: Path) -> dict[str, Path]:
    """Members of the cousin's archive: a kit with one model."""
    spec = tomllib.loads((COUSINS / f"{name}.toml").read_text("utf-8"))
    model = work / "models" / name
    model.mkdir(parents=True)
    config, tensors = describe(spec, kit, work / "saved")
    skeleton = {"architecture": config["architectures"][0], "tokenizer": spec.get("tokenizer")}
    skeleton |= {key: spec[key] for key in ("by_hand", "without") if key in spec}
    _write_json(model / "config.json", config)
    _write_json(model / "skeleton.json", {**skeleton, "tensors": tensors})
    extra = [model / "extra" / file for file in spec.get("extra", {})]
    for file in extra:
        file.parent.mkdir(exist_ok=True)
        file.write_text(spec["extra"][file.name], "utf-8")
    (work / "tokenizers").symlink_to(kit.root / "tokenizers")
    checkpoint = kit.materialize(str(work), name, str(work / "checkpoints"))
    f32, q4_k_m = work / "F32.gguf", work / "Q4_K_M.gguf"
    told = kit.tokenizers.get(spec.get("tokenizer", ""), {}).get("tokenizer.ggml.pre")
    convert(llama_cpp, checkpoint, f32, spec.get("pre", told))
    if spec.get("generates", True):
        compute(f32)
    quantize(f32, q4_k_m, "MOSTLY_Q4_K_M")
    made = {"F32/convert": f32, "Q4_K_M/quantize": q4_k_m}
    if "general.file_type" not in kit.gguf(str(f32)).kv:
        # Few converters leave it out; the quantizer's own F32 file has it.
        made["F32/quantize"] = work / "F32-quantize.gguf"
        quantize(f32, made["F32/quantize"], "ALL_F32")
    expected = work / "expected" / f"{name}.json"
    expected.parent.mkdir()
    _write_json(expected, {"name": name, **skeleton, **expectation(kit, made)})
    members = (model / "config.json", model / "skeleton.json", *extra, expected)
    return {path.relative_to(work).as_posix(): path for path in members}


def describe(spec: Json, kit: Kit, saved: Path) -> tuple[Json, list[Json]]:
    """config.json and the tensors of a checkpoint, by name."""
    given: Json = spec["config"]
    if "tokenizer" in spec:
        tokens = kit.tokenizers[spec["tokenizer"]]["tokens"]
        size = -(-tokens // 32) * 32
        given = {"vocab_size": size, **kit.token_ids(spec["tokenizer"]), **given}
    architecture = str(spec["architecture"])
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    if "by_hand" in spec:
        config = {"architectures": [architecture], **given}
    else:
        config, shapes, dtypes = save(str(spec.get("class", architecture)), given, spec, saved)
        config["architectures"] = [architecture]
    for path in spec.get("null", ()):
        *parents, key = path.split(".")
        holder: Any = config
        for parent in parents:
            holder = holder[int(parent) if isinstance(holder, list) else parent]
        holder[key] = None
    for absent in spec.get("absent", ()):
        config.pop(absent, None)
    for old, new in spec.get("rename", ()):
        shapes = {name.replace(old, new): shape for name, shape in shapes.items()}
        dtypes = {name.replace(old, new): dtype for name, dtype in dtypes.items()}
    for pattern in spec.get("drop", ()):
        shapes = {n: shape for n, shape in shapes.items() if not fnmatch.fnmatchcase(n, pattern)}
    shapes.update(added(spec))
    inits = {**spec.get("init", {}), **INITS}
    tensors = [
        {
            "name": name,
            "dtype": dtypes.get(name, spec.get("dtype", "BF16")),
            "shape": list(shape),
            "init": init(name, shape, inits),
        }
        for name, shape in sorted(shapes.items())
    ]
    return config, tensors


def save(
    class_name: str, given: Json, spec: Json, folder: Path
) -> tuple[Json, dict[str, tuple[int, ...]], dict[str, str]]:
    """What transformers saves of a model: config.json, shapes and dtypes by name."""
    torch = importlib.import_module("torch")
    model_class = getattr(importlib.import_module("transformers"), class_name)
    model = model_class(model_class.config_class(**given))
    dtype = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
    model.to(dtype[spec.get("dtype", "BF16")]).save_pretrained(folder)
    header = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    stored: Json = json.loads(header[8 : 8 + length])
    stored.pop("__metadata__", None)
    shapes = {name: tuple(info["shape"]) for name, info in stored.items()}
    dtypes = {name: info["dtype"] for name, info in stored.items()}
    return _json(folder / "config.json"), shapes, dtypes


def added(spec: Json) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of `[tensors]`: "{bid}" and "{eid}" count `blocks` and `experts`."""
    for template, shape in spec.get("tensors", {}).items():
        for bid in spec["blocks"] if "{bid}" in template else (0,):
            for eid in range(spec["experts"]) if "{eid}" in template else (0,):
                yield template.replace("{bid}", str(bid)).replace("{eid}", str(eid)), tuple(shape)


def init(name: str, shape: tuple[int, ...], inits: Mapping[str, str]) -> str:
    for pattern, kind in inits.items():
        if fnmatch.fnmatchcase(name, pattern):
            return kind
    if name.endswith("bias"):
        return "bias"
    return "norm1" if len(shape) < 2 else "w:0.02"


def convert(llama_cpp: Path, checkpoint: str, target: Path, pre: str | None) -> None:
    """The converter's F32 file. It knows tokenizers by a hash; these it has to be told (`pre`)."""
    base = importlib.import_module("conversion.base")
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    program = llama_cpp / "convert_hf_to_gguf.py"
    saved = sys.argv
    sys.argv = [program.name, checkpoint, "--outtype", "f32", "--outfile", str(target)]
    try:
        runpy.run_path(str(program), run_name="__main__")
    finally:
        sys.argv = saved


def quantize(source: Path, target: Path, ftype: str) -> None:
    llama = importlib.import_module("llama_cpp")
    parameters = llama.llama_model_quantize_default_params()
    parameters.nthread = 1
    parameters.ftype = getattr(llama, f"LLAMA_FTYPE_{ftype}")
    code = llama.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(parameters)
    )
    if code:
        raise SystemExit(f"llama_model_quantize refuses {source}")


def compute(file: Path) -> None:
    """Load the file and decode two tokens; a checkpoint that llama.cpp cannot run proves little."""
    llama = importlib.import_module("llama_cpp").Llama(
        str(file), n_ctx=64, n_threads=1, logits_all=True, verbose=False
    )
    llama.eval([5, 6])
    if not np.isfinite(llama.scores[:2]).all():
        raise SystemExit(f"llama.cpp computes no finite numbers with {file}")


def expectation(kit: Kit, made: Mapping[str, Path]) -> Json:
    """`kv`, `files`, `tensors` and `order_quantize` in the form of the kit's expected/NAME.json."""
    labels = {label: (path, kit.gguf(str(path))) for label, path in made.items()}
    first, second = labels["F32/convert"][1], labels["Q4_K_M/quantize"][1]
    kv = [_kv(key, value) for key, value in first.kv.items()]
    files = {
        label: {
            "tensors": len(gguf.tensors),
            "bytes": path.stat().st_size,
            "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "kv_changed": [
                _kv(key, value) for key, value in gguf.kv.items() if value != first.kv.get(key)
            ],
            "kv_missing": [key for key in first.kv if key not in gguf.kv],
            "kv_order": list(gguf.kv),
            "order": label.partition("/")[2],
        }
        for label, (path, gguf) in labels.items()
    }
    tensors = {}
    for name, (ne, _, _, _) in first.tensors.items():
        entry: Json = {"ne": ne, "ne_quantize": second.tensors[name][0], "in": {}, "sha256": {}}
        for label, (_, gguf) in labels.items():
            kind = gguf.tensors[name][1]
            entry["in"][label] = kind
            entry["sha256"][kind] = hashlib.sha256(gguf.data(name)).hexdigest()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in COMPUTED):
            entry["f32_base64"] = base64.b64encode(first.data(name)).decode()
        tensors[name] = entry
    return {"kv": kv, "files": files, "tensors": tensors, "order_quantize": list(second.tensors)}


def _kv(key: str, stored: tuple[str, Any, bytes]) -> Json:
    """A key-value as the kit writes it: long arrays by the SHA-256 of their bytes."""
    kind, value, raw = stored
    entry: Json = {"key": key, "type": kind}
    digest = hashlib.sha256(raw).hexdigest()
    if not kind.startswith("ARRAY"):
        long = isinstance(value, str) and len(raw) > 4000
        return {**entry, "value": {"len": len(raw) - 8, "sha256": digest} if long else value}
    entry |= {"len": len(value), "sha256": digest}
    if len(value) <= 64:
        return {**entry, "value": value}
    elements = importlib.import_module("conformance_check").elements(value, raw)
    groups = [b"".join(elements[i : i + 32]) for i in range(0, len(elements), 32)]
    return {**entry, "groups_of_32": [hashlib.sha256(g).hexdigest()[:8] for g in groups]}


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _json(path: Path) -> Json:
    content: Json = json.loads(path.read_text("utf-8"))
    return content


def _write_json(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
