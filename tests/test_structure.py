"""The package keeps its shape: imports go down, everything is reachable, files stay small.

The floors are those of docs/architecture.md: a room imports lower floors only, and rooms on one
floor do not know each other. Third-party libraries have their rooms too, so that one can be
replaced in one place and `quantize --help` loads none of the heavy ones.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import quantize
from quantize.registry import Registry
from tests.support.floors import FLOOR
from tests.support.paths import ROOT

PACKAGE = ROOT / "quantize"

# Third-party library -> the rooms that may import it. Anything else is a new dependency.
LIBRARIES = {
    "gguf": {"formats", "vocab"},
    "huggingface_hub": {"storage.hub", "publish"},
    "jinja2": {"ollama.templates"},
    "llvmlite": {"kernels"},
    "numba": {"kernels"},
    "numpy": set(FLOOR) - {"cli", "options", "__main__"},
    "rich": {"cli"},
    "safetensors": {"formats"},
    "sentencepiece": {"vocab"},
    "typer": {"cli"},
    "xllamacpp": {"evaluation"},
    "yaml": {"formats"},
}
# What a library is called on PyPI, where that is another name.
DISTRIBUTIONS = {"yaml": "pyyaml"}
LAZY = (
    "yaml",
    "gguf",
    "huggingface_hub",
    "jinja2",
    "llvmlite",
    "numba",
    "sentencepiece",
    "xllamacpp",
)

MAX_LINES = 400


@cache
def modules() -> dict[str, Path]:
    """Every module of the package: dotted name -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), path.name)


def imports(path: Path) -> Iterator[str]:
    """Dotted names that `path` imports, at any depth."""
    return imported(tree(path), path)


def imported(tree: ast.AST, path: Path) -> Iterator[str]:
    """Dotted names that a syntax tree imports; `from a import b` gives a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}:{node.lineno}: a relative import"
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    """quantize.ollama.doctor.checks.file -> ollama.doctor; quantize itself -> "" (its version)."""
    name = module.partition(".")[2]
    while name and name not in FLOOR:
        name = name.rpartition(".")[0]
    return name


def may_import(source: str, target: str) -> bool:
    return target in (source, "") or FLOOR[target] < FLOOR[source]


def test_every_room_has_a_floor_and_every_floor_its_rooms() -> None:
    assert {room(name) for name in modules()} - {""} == set(FLOOR)
    assert {name for name in modules() if not room(name)} == {"quantize"}


@pytest.mark.parametrize("here", sorted(FLOOR))
def test_imports_go_down(here: str) -> None:
    wrong = []
    for name, path in modules().items():
        if room(name) != here:
            continue
        for target in imports(path):
            top = target.partition(".")[0]
            if top == "quantize":
                allowed = may_import(here, room(target))
            else:
                allowed = top in sys.stdlib_module_names or here in LIBRARIES.get(top, ())
            if not allowed:
                wrong.append(f"{name} imports {target}")
    assert not wrong


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("planning", "formats", True),
        ("formats", "planning", False),
        ("vocab", "vocab", True),
        ("vocab", "architectures", False),
        ("units", "errors", True),
        ("kernels", "storage", False),
        ("architectures.families", "architectures", True),
        ("architectures", "architectures.families", False),
        ("cli", "", True),
    ],
)
def test_the_rule_of_floors_itself(source: str, target: str, *, allowed: bool) -> None:
    assert may_import(source, target) is allowed


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Whatever is imported first, it imports: the graph of imports at module level has no cycle."""
    graph = {}
    for name, path in modules().items():
        at_once = ast.Module([node for node in tree(path).body if not is_for_types(node)], [])
        targets = set(imported(at_once, path)) & set(modules())
        graph[name] = {target for target in targets if not name.startswith(f"{target}.")} - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_all_names_of_the_face_are_public_and_lead_somewhere() -> None:
    api = importlib.import_module("quantize.api")
    public = {name for name in vars(api) if not name.startswith("_")} - {"annotations"}
    assert set(api.__all__) == public
    assert list(api.__all__) == sorted(api.__all__, key=lambda name: (name[0].islower(), name))
    for name in api.__all__:
        assert getattr(quantize, name) is getattr(api, name)
    assert public <= set(dir(quantize))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        quantize.nothing  # noqa: B018 (the error is what is asked for)


def test_every_module_is_reachable_from_the_command() -> None:
    """By an import or by a row of a registry: nothing exists that is not registered."""
    known = modules()
    rows: dict[str, list[str]] = {name: [] for name in known}
    for where, registry in registries().items():
        listed = [row.partition(":")[0] for row in registry.table.values()]
        rows[where.partition(":")[0]] += listed
    reached: set[str] = set()
    # The last is the program that worker processes run.
    waiting = ["quantize.__main__", "quantize.api", "quantize.execution.process"]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in known:
            continue
        reached.add(name)
        waiting += imports(known[name])
        waiting += rows[name]
        waiting.append(name.rpartition(".")[0])
    assert set(known) == reached


@cache
def registries() -> dict[str, Registry[object]]:
    """Every Registry of the package: "module:NAME" -> registry."""
    found: dict[str, Registry[object]] = {}
    for name in modules():
        for attribute, value in vars(importlib.import_module(name)).items():
            if isinstance(value, Registry) and value not in found.values():
                found[f"{name}:{attribute}"] = value
    return found


def test_every_row_of_every_registry_loads() -> None:
    assert registries()
    for where, registry in registries().items():
        for key in registry:
            assert registry[key] is not None, f"{where}: {key}"


def test_every_extension_is_registered() -> None:
    """A module-level object of a kind that some table lists, in that table's folders, has a row."""
    for where, registry in registries().items():
        listed = [registry[key] for key in registry]
        kinds = {type(value) for value in listed} - {type, type(lambda: None)}
        folders = {row.partition(":")[0].rpartition(".")[0] for row in registry.table.values()}
        for name in modules():
            if name.rpartition(".")[0] not in folders:
                continue
            for attribute, value in vars(importlib.import_module(name)).items():
                if type(value) in kinds and not attribute.startswith("_"):
                    assert any(value is entry for entry in listed), (
                        f"{name}:{attribute} has no row in {where}"
                    )


def test_no_file_has_two_rooms_in_it() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def run_python(program: str, *arguments: str) -> str:
    """What `program` prints in an interpreter of its own, where a warning is an error."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_loads_no_heavy_library() -> None:
    program = "import sys, quantize.cli; print(*{m.partition('.')[0] for m in sys.modules})"
    assert set(LAZY) & set(run_python(program).split()) == set()


def test_the_version_is_that_of_the_changelog() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == importlib.import_module("quantize").__version__


def test_dependencies_are_the_libraries_that_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = project["dependencies"] + extras["fast"] + extras["eval"]
    wanted = {DISTRIBUTIONS.get(library, library) for library in LIBRARIES}
    assert {requirement.partition(">=")[0] for requirement in declared} == wanted


def test_no_test_is_skipped() -> None:
    evasions = {"skip", "skipif", "xfail", "importorskip", "skipTest", "expectedFailure"}
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        used = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        used |= {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
        used |= {name.rpartition(".")[2] for name in imports(path)}
        found += [f"{path.relative_to(ROOT)}: {name}" for name in sorted(used & evasions)]
    assert not found
