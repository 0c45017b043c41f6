"""A stream of a checkpoint that is larger than its memory may be, without a copy on the disk."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.hub_client import environment
from tests.support.hub_server import Content, HubServer, Repo
from tests.support.large_model import write_large_model

# Two layers are 268 MB, and the bound of the run is less than that.
LAYERS, BOUND = 2, 250_000_000
# Not ru_maxrss: a child's begins with what its parent had when it forked.
_PEAK = """
import re, sys
from pathlib import Path
from quantize.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024, file=sys.stderr)
"""


def test_a_stream_keeps_its_bound_and_leaves_nothing_but_its_output(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = write_large_model(tmp_path / "large", checkpoint("llama31-bpe"), LAYERS)
    files = {
        path.name: Content(path, _sha256(path)) if path.suffix == ".safetensors" else path
        for path in folder.iterdir()
    }
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert total > BOUND
    arguments = ["convert", "org/large", "--stream", "-t", "Q8_0", "-o", str(tmp_path / "out")]
    arguments += ["--max-memory", str(BOUND), "--jobs", "1", "--kernels", "numpy", "-q"]
    with HubServer({"org/large": Repo(files)}) as hub:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, *arguments],
            env=environment(hub.url, tmp_path / "home"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert hub.sent <= total + 300_000  # headers come twice: alone first, then with the rest
    assert int(done.stderr.split()[-1]) < BOUND
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in kept) < 1_000_000
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    recorded = {file["name"]: file["sha256"] for file in manifest["source"]["files"]}
    assert all(recorded[path.name] == _sha256(path) for path in folder.glob("*.safetensors"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
