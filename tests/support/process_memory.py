"""How much memory a program and its children hold together, at the most."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: `resident` is the most bytes in memory at one time, over all its processes.

    Pages that several processes share count for each, and so do those of mapped files, which
    `anonymous` leaves out (0 where the system does not say).
    """

    resident: int
    anonymous: int
    seconds: float
    output: str


def measure(command: Sequence[str], cwd: Path) -> Measured:
    """Run `command`. Raises CalledProcessError with its output if it fails."""
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        output: list[str] = []
        assert program.stdout is not None
        reader = threading.Thread(target=output.extend, args=(program.stdout,))
        reader.start()
        resident = anonymous = 0
        while True:
            now = _memory(program.pid)
            resident, anonymous = max(resident, now[0]), max(anonymous, now[1])
            try:
                program.wait(_PAUSE)
                break
            except subprocess.TimeoutExpired:
                continue
        seconds = time.monotonic() - started
        reader.join()
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command, "".join(output))
    return Measured(resident, anonymous, seconds, "".join(output))


def _memory(root: int) -> tuple[int, int]:
    """Resident and anonymous bytes of a process and its descendants; 0 for what is gone."""
    if not Path("/proc/self/status").exists():
        return _resident_by_ps(root), 0
    resident = anonymous = 0
    waiting = [root]
    while waiting:
        folder = Path("/proc", str(waiting.pop()))
        try:
            status = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines()
            )
            resident += 1024 * int(status["VmRSS"].split()[0])
            anonymous += 1024 * int(status["RssAnon"].split()[0])
            for thread in (folder / "task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except (OSError, KeyError):
            continue  # it has just ended
    return resident, anonymous


def _resident_by_ps(root: int) -> int:
    listed = subprocess.run(
        ["/bin/ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    )
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    family = {root}
    while more := {pid for pid, parent, _ in rows if parent in family} - family:
        family |= more
    return 1024 * sum(rss for pid, _, rss in rows if pid in family)
