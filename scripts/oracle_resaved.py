"""Write docs/resaved.md: what becomes of checkpoints that transformers 5 loads and saves again.

    python scripts/oracle_resaved.py [NAME ...]        without names: all, and the page is written

Every fine-tune is saved like that. Each checkpoint of the kit and each cousin is loaded by the
class that its config.json names and saved again, its tokenizer too, and nothing else is copied.
Both folders are converted to F32 and compared: key-values but those of the model's card, tensors
and their bytes.

Runs in the environment of tests/oracle/requirements-resaved.txt.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from quantize import api  # noqa: E402 - of this checkout
from quantize.checkpoints.gguf_file import GGUFFile  # noqa: E402
from quantize.errors import QuantizeError  # noqa: E402
from quantize.sources.opening import open_gguf  # noqa: E402
from tests.conftest import materialized  # noqa: E402
from tests.support.cousins import COUSINS  # noqa: E402
from tests.support.kit_models import MODELS  # noqa: E402

DATA = ROOT / "tests" / "data"
PAGE = ROOT / "docs" / "resaved.md"
HEAD = """\
# Checkpoints that transformers saved again

Written by `make oracle-resaved` with transformers {version}. Each checkpoint of the test kit and
each cousin was loaded by its class and saved again with its tokenizer, as training tools do, and
both folders were converted. "The same file" is the same tensors, to the bit, and the same
key-values but for those that the model's card gives, which is not saved again.

| checkpoint | class | after saving again |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    model_class: str
    outcome: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, checkpoint in checkpoints(Path(folder), names or [*MODELS, *COUSINS]):
            rows.append(row_of(name, checkpoint, Path(folder) / "again"))
            print(*(rows[-1].name, rows[-1].model_class, rows[-1].outcome), sep=" | ", flush=True)
    if not names:
        version = importlib.import_module("transformers").__version__
        lines = [f"| {row.name} | {row.model_class} | {row.outcome} |\n" for row in rows]
        same = sum(row.outcome == "the same file" for row in rows)
        end = f"\n{len(rows)} checkpoints, {same} of them the same file.\n"
        PAGE.write_text(HEAD.format(version=version) + "".join(lines) + end, "utf-8")


def checkpoints(work: Path, names: list[str]) -> Iterator[tuple[str, Path]]:
    _unpack("conformance", work)
    kit = work / "conformance"
    for name in names:
        if name in MODELS:
            yield name, materialized(kit, kit, name, work / "checkpoints")
            continue
        own = work / "cousins" / name
        _unpack(f"cousins/{name}", own)
        (own / "tokenizers").symlink_to(kit / "tokenizers")
        yield name, materialized(kit, own, name, work / "checkpoints")


def _unpack(archive: str, folder: Path) -> None:
    with tarfile.open(DATA / f"{archive}.tar.xz") as tar:
        tar.extractall(folder, filter="data")


def row_of(name: str, checkpoint: Path, parent: Path) -> Row:
    # The folder's own name is a part of the file.
    again = parent / checkpoint.name
    try:
        model_class = save_again(checkpoint, again)
    except Exception as error:  # noqa: BLE001 - whatever it is, the row says it
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Row(name, "", f"not loaded by transformers: {said[:120]}")
    return Row(name, model_class, outcome_of(checkpoint, again))


def save_again(checkpoint: Path, again: Path) -> str:
    transformers: Any = importlib.import_module("transformers")
    transformers.logging.set_verbosity_error()
    with contextlib.redirect_stderr(io.StringIO()):
        config = transformers.AutoConfig.from_pretrained(checkpoint)
        kind = getattr(transformers, config.architectures[0])
        kind.from_pretrained(checkpoint, dtype="auto").save_pretrained(again)
        with contextlib.suppress(Exception):  # of some there are tokenizer files of other programs
            transformers.AutoTokenizer.from_pretrained(checkpoint).save_pretrained(again)
    return str(config.architectures[0])


def outcome_of(before: Path, after: Path) -> str:
    files: list[GGUFFile] = []
    for folder in (before, after):
        out = folder.parent / f"{folder.name}-gguf"
        options = api.Options(types=("F32",), output=out)
        try:
            files.append(open_gguf(api.convert(str(folder), options).files[0].path))
        except QuantizeError as error:
            return f"refused: {error.code}: {error}"
    return difference(*files)


def difference(one: GGUFFile, other: GGUFFile) -> str:
    found = [
        *_differing("key-values", _described(one), _described(other)),
        *_differing("tensors", _digests(one), _digests(other)),
    ]
    return "; ".join(found) or "the same file"


def _described(file: GGUFFile) -> dict[str, Any]:
    """Without what the model's card says, which is not saved again."""
    return {kv.key: kv for kv in file.kvs if not kv.key.startswith("general.")}


def _differing(what: str, one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    groups: list[tuple[str, list[str]]] = [
        ("gone", [name for name in one if name not in other]),
        ("new", [name for name in other if name not in one]),
        ("other", [name for name in one if name in other and one[name] != other[name]]),
    ]
    for how, names in groups:
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{what} {how}: {', '.join(names[:3])}{more}"


def _digests(file: GGUFFile) -> dict[str, str]:
    read: Callable[..., Any] = file.files.read
    return {
        tensor.name: hashlib.sha256(read(tensor.file, tensor.offset, tensor.nbytes)).hexdigest()
        for tensor in file.tensors.values()
    }


if __name__ == "__main__":
    main()
