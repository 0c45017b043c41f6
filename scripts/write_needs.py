"""Write quantize/formats/needs.json: what llama.cpp needs of each architecture's files.

    python scripts/write_needs.py [--only-check] SHARED [NAME ...]

Each key-value and tensor of the kit's models and of the cousins is taken away in turn, and
llama.cpp (of the wheel xllamacpp) is asked what it makes of the rest. SHARED has the kit. Printed
is how often `quantize doctor` says so. Takes a quarter of an hour; with names, only these models
are measured and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from quantize import api
from quantize.formats import needs
from quantize.formats.kv import KeyValues
from tests.conftest import materialized
from tests.support.cousins import COUSINS
from tests.support.kit_models import MODELS
from tests.support.paths import DATA
from tests.support.taken_away import Outcome, Taken, outcomes

TARGET = Path(needs.__file__).with_name("needs.json")
# What a model has or not, whatever others of its architecture have.
_VARIES = re.compile(r"rope\.scaling\..*|pooling_type|classifier\..*|nextn_predict_layers")
_TYPES = "tokenizer.ggml.token_type_count"
_OTHERS = ("general.", "tokenizer.")

Rows = Mapping[str, Outcome]


def converted(kit: Path, name: str, folder: Path) -> Path:
    """A model of the kit or a cousin, as `convert` writes it."""
    if name in MODELS:
        checkpoint = materialized(kit, kit, name, folder)
    else:
        with tarfile.open(DATA / "cousins" / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        (folder / "tokenizers").symlink_to(kit / "tokenizers")
        checkpoint = materialized(kit, folder, name, folder / "checkpoints")
    options = api.Options(types=("F32",), output=folder / "out")
    return api.convert(str(checkpoint), options).files[0].path


def needed(models: Iterable[tuple[str, Rows]]) -> needs.Needs:
    """Of the models of one architecture: its name, and what became of each without a part."""
    keys = [_keys(arch, rows) for arch, rows in models]
    tensors = [_plain_tensors(rows) for _, rows in models]
    every = set().union(*keys)
    common = {k for k in every if all(k in one for one in keys) and not _VARIES.fullmatch(k)}
    refused = {k for k in every if any(one.get(k) == "refused" for one in keys)}
    matter = refused | {k for k in every if any(one.get(k) == "differs" for one in keys)}
    always = set.intersection(*map(set, tensors))
    whole = {t for t in always if any(one[t] == "refused" for one in tensors)}
    some = {t for one in tensors for t, outcome in one.items() if outcome != "same"} - whole
    first, later = _kinds(rows for _, rows in models)
    own, others = first - later, later - first
    has_own = any(one < other or other < one for one in own for other in others)
    return {
        "keys": sorted(common & refused),
        "wanted": sorted(common & matter - refused),
        "optional": [*sorted(matter - common), *sorted(some - {"token_embd.weight"})],
        "tensors": sorted(whole),
        "blocks": sorted(map(sorted, later if has_own else first | later)),
        "first": sorted(map(sorted, first)) if has_own else [],
        "loose": [],
    }


def _keys(arch: str, rows: Rows) -> dict[str, Outcome]:
    return {
        name.removeprefix(f"{arch}."): outcome
        for name, outcome in rows.items()
        if name == _TYPES or not (name.startswith(_OTHERS) or _is_tensor(name))
    }


def _plain_tensors(rows: Rows) -> dict[str, Outcome]:
    """Those of no block."""
    return {n: o for n, o in rows.items() if _is_tensor(n) and not needs.BLOCK.fullmatch(n)}


def _is_tensor(name: str) -> bool:
    return bool(needs.BLOCK.fullmatch(name)) or name.endswith((".weight", ".bias"))


def _kinds(models: Iterable[Rows]) -> tuple[set[frozenset[str]], set[frozenset[str]]]:
    """The kinds of block 0, and of those after it."""
    first, later = set[frozenset[str]](), set[frozenset[str]]()
    for rows in models:
        blocks: dict[tuple[str, int], dict[str, Outcome]] = defaultdict(dict)
        for name, outcome in rows.items():
            if match := needs.BLOCK.fullmatch(name):
                blocks[match[1], int(match[2])][match[3]] = outcome
        refused = {n for some in blocks.values() for n, o in some.items() if o == "refused"}
        for (_, number), some in blocks.items():
            # A block of predictors may be absent as a whole, and is then computed without.
            predicts = any(name.startswith("nextn.") for name in some)
            kind = frozenset(
                name
                for name, outcome in some.items()
                if outcome == "refused" or (outcome == "differs" and (predicts or name in refused))
            )
            if kind:
                (later if number else first).add(kind)
    return first, later


def written(table: Mapping[str, needs.Needs]) -> str:
    """As JSON, one line for each list."""
    parts = []
    for arch, one in table.items():
        lines = [f"  {json.dumps(key)}: {_listed(value)}" for key, value in one.items()]
        parts.append(f" {json.dumps(arch)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _listed(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n   " + ",\n   ".join(map(json.dumps, value)) + "\n  ]"
    return json.dumps(value)


def loosened(table: dict[str, needs.Needs], models: Mapping[str, Taken]) -> None:
    """Tensors that whole models lack in some of their blocks are not missed there."""
    TARGET.write_text(written(table), encoding="utf-8")
    needs.table.cache_clear()
    for taken in models.values():
        shapes = {name: tensor.shape for name, tensor in taken.tensors.items()}
        names = {one.name for one in needs.missing(KeyValues(taken.kvs), shapes)}
        loose = {needs.BLOCK.sub(r"\3", name) for name in names}
        table[taken.arch]["loose"] = sorted({*table[taken.arch]["loose"], *loose})
    TARGET.write_text(written(table), encoding="utf-8")
    needs.table.cache_clear()


def said(path: Path) -> set[tuple[str, str, str]]:
    """What the doctor says of a file."""
    return {(one.check, one.level, one.message) for one in api.diagnose(path) if one.message}


def agreement(taken: Taken, rows: Rows, scratch: Path) -> Counter[tuple[str, str]]:
    """How often each outcome is told as an error, a warning or a note, or not at all."""
    found = Counter[tuple[str, str]]()
    whole = said(taken.write_without("", scratch))
    for name, outcome in rows.items():
        new = {level for _, level, _ in said(taken.write_without(name, scratch)) - whole}
        told = next((one for one in ("error", "warning", "fine") if one in new), "nothing")
        found[outcome, told] += 1
        if outcome != "same" and told == "nothing":
            print(f"   not told: {taken.arch} without {name}: {outcome}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only-check", action="store_true", help="leave needs.json as it is")
    parser.add_argument("shared", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    found: dict[str, Rows] = {}
    models: dict[str, Taken] = {}
    with TemporaryDirectory() as folder:
        scratch = Path(folder) / "without.gguf"
        for name in arguments.names or (*MODELS, *COUSINS):
            place = Path(folder) / name
            place.mkdir()
            models[name] = Taken(converted(arguments.shared / "conformance", name, place))
            try:
                found[name] = dict(outcomes(models[name], scratch))
            except ValueError as error:
                print(f"{name}: {error}")
                del models[name]
        if not (arguments.names or arguments.only_check):
            by_arch = defaultdict(list)
            for name, rows in found.items():
                by_arch[models[name].arch].append((models[name].arch, rows))
            loosened({arch: needed(by_arch[arch]) for arch in sorted(by_arch)}, models)
        total = Counter[tuple[str, str]]()
        for name, rows in found.items():
            total += agreement(models[name], rows, scratch)
    archs = {taken.arch for taken in models.values()}
    print(f"{len(models)} models of {len(archs)} architectures")
    for (outcome, told), count in sorted(total.items()):
        print(f"  {outcome:8} told as {told:8} {count}")


if __name__ == "__main__":
    main()
