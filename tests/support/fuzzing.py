"""Commands on mutated checkpoints and GGUF files: whatever comes out, it is no traceback."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantize.cli import build_app
from quantize.errors import EXIT_INTERNAL, CheckpointError
from quantize.formats.gguf import TensorEntry, encode_header
from quantize.formats.kv import KV
from quantize.sources.opening import open_gguf
from tests.support.mutations import mutated_json, mutated_kvs

ON_FOLDERS = (
    ("plan", "{}", "-t", "Q4_K_M"), ("plan", "{}"), ("plan", "{}", "-t", "Q8_0", "--all"),
    ("inspect", "{}"), ("convert", "{}", "-t", "F16", "-q", "-o", "{}/out"),
)  # fmt: skip
ON_FILES = (
    ("inspect", "{}"), ("plan", "{}", "-t", "Q4_K_M", "--allow-requantize"), ("doctor", "{}"),
    ("verify", "{}"), ("modelfile", "{}", "--output", "-"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """A mistake that a case found. `said` names the line in the package."""

    case: str
    said: str


def run(command: Sequence[str]) -> tuple[int, str]:
    """The exit code, and what stderr holds."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            build_app()(command, prog_name="quantize")
        except SystemExit as end:
            return int(end.code or 0), err.getvalue()
    return 0, err.getvalue()


def fuzz_folder(checkpoint: Path, work: Path, moment: random.Random) -> Hit | None:
    """One command on the checkpoint with one of its JSON files changed."""
    folder = work / checkpoint.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(checkpoint, folder, copy_function=os.link)
    file = moment.choice(sorted(folder.rglob("*.json")))
    data = mutated_json(file.read_text("utf-8"), moment)
    file.unlink()  # a second name of the original's
    file.write_bytes(data)
    return _hit(moment.choice(ON_FOLDERS), folder, f"{checkpoint.name}: {file.name}")


def fuzz_gguf(source: Path, work: Path, moment: random.Random) -> Hit | None:
    """One command on the GGUF file with some of its key-values changed."""
    opened = open_gguf(source)
    (header,) = opened.headers.values()
    kvs = mutated_kvs(list(opened.kvs), moment)
    file = work / source.name
    shutil.copyfile(source, file)
    tensors = [
        TensorEntry(one.name, one.shape, one.dtype, one.offset - header.data_start)
        for one in header.tensors.values()
    ]
    with contextlib.suppress(CheckpointError):  # a value that no file can hold
        file.write_bytes(encode_header(kvs, tensors) + source.read_bytes()[header.data_start :])
    different = [kv for kv in kvs if kv not in opened.kvs]
    return _hit(moment.choice(ON_FILES), file, f"{source.name}: {_short(different)}")


def _hit(command: Sequence[str], path: Path, case: str) -> Hit | None:
    words = [word.format(path) for word in command]
    code, said = run(words)
    failed = code in {1, EXIT_INTERNAL} or "error[out-of-memory]" in said
    return Hit(f"{words[0]} {case}", said) if failed else None


def _short(kvs: Sequence[KV]) -> str:
    return ", ".join(f"{kv.key} = {kv.type} {kv.value!r:.40}" for kv in kvs)
