#!/usr/bin/env python3
"""Write tests/data/*.tar.xz from the conformance kit and the test models.

    python scripts/refresh_test_data.py [SHARED]        default: ../shared beside the checkout

The same files give the same archives: members are sorted and carry no times, owners or modes.
Texts that other people wrote (corpora, published chat templates) are not part of them; the tests
that need those stand in tests/shared and read SHARED itself.
"""

from __future__ import annotations

import argparse
import io
import lzma
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
DATA = ROOT / "tests" / "data"

# archive -> the files and folders of SHARED that it holds
CONTENTS = {
    "conformance": (
        "conformance/README.md",
        "conformance/blocks",
        "conformance/check.py",
        "conformance/expected",
        "conformance/materialize.py",
        "conformance/models",
        "conformance/tokenizers",
        "conformance/tokenizers.json",
    ),
    "encodings": ("conformance/encodings",),
    "models": (
        "models/README.md",
        "models/minilm/reference_embeddings.json",
        "models/tinyrust/checkpoint",
        "models/tinyrust/expected.json",
        "models/tinyrust/imatrix.dat",
        "models/tinyrust/imatrix.gguf",
    ),
}


def files_of(shared: Path, archive: str) -> dict[str, Path]:
    """What `archive` must hold: member name -> file, sorted by member name.

    Raises FileNotFoundError naming an entry of CONTENTS that `shared` lacks.
    """
    found: dict[str, Path] = {}
    for entry in CONTENTS[archive]:
        top = shared / entry
        paths = [top] if top.is_file() else [p for p in top.rglob("*") if p.is_file()]
        if not paths:
            raise FileNotFoundError(f"{top} is missing or empty")
        found.update({path.relative_to(shared).as_posix(): path for path in paths})
    return dict(sorted((name, path) for name, path in found.items() if "__pycache__" not in name))


def pack(files: dict[str, Path]) -> bytes:
    """An .tar.xz of `files` whose bytes depend on names and contents alone."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in files.items():
            content = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write tests/data/*.tar.xz.")
    parser.add_argument("shared", nargs="?", type=Path, default=SHARED)
    shared: Path = parser.parse_args().shared
    DATA.mkdir(exist_ok=True)
    for archive in CONTENTS:
        target = DATA / f"{archive}.tar.xz"
        target.write_bytes(pack(files_of(shared, archive)))
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
