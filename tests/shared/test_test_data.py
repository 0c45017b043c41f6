"""The archives in tests/data hold what ../shared holds, so a stale copy cannot hide a change."""

from __future__ import annotations

import importlib.util
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import DATA

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "refresh_test_data.py"


@pytest.fixture(scope="module")
def refresh() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh_test_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("archive", ["conformance", "encodings", "models"])
def test_an_archive_holds_the_files_of_today(
    shared: Path, refresh: ModuleType, archive: str
) -> None:
    wanted = refresh.files_of(shared, archive)
    with tarfile.open(DATA / f"{archive}.tar.xz") as tar:
        assert tar.getnames() == list(wanted)
        for member in tar:
            stored = tar.extractfile(member)
            assert stored is not None
            assert stored.read() == wanted[member.name].read_bytes(), member.name


def test_no_other_archive_is_left_over(refresh: ModuleType) -> None:
    assert {path.name for path in DATA.glob("*.tar.xz")} == {
        f"{n}.tar.xz" for n in refresh.CONTENTS
    }


def test_the_same_files_give_the_same_bytes(refresh: ModuleType, tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    files = {name: tmp_path / name for name in ("a.txt", "b.txt")}
    first = refresh.pack(files)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").chmod(0o600)
    assert refresh.pack(files) == first
