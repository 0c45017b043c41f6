"""How much memory a program and its children hold together, at the most."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

_PAUSE = 0.02


def peak_memory(command: Sequence[str], cwd: Path) -> tuple[int, float, str]:
    """Run `command`: most resident bytes of all its processes at one time, seconds, its output.

    Pages that several processes share count for each. Raises CalledProcessError with the output if
    the command fails.
    """
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        output: list[str] = []
        assert program.stdout is not None
        reader = threading.Thread(target=output.extend, args=(program.stdout,))
        reader.start()
        peak = 0
        while program.poll() is None:
            peak = max(peak, _resident(program.pid))
            time.sleep(_PAUSE)
        seconds = time.monotonic() - started
        reader.join()
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command, "".join(output))
    return peak, seconds, "".join(output)


def _resident(root: int) -> int:
    """Bytes of a process and its descendants now; 0 if it is gone."""
    if not Path("/proc/self/statm").exists():
        return _resident_by_ps(root)
    total, waiting = 0, [root]
    while waiting:
        folder = Path("/proc", str(waiting.pop()))
        try:
            total += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in (folder / "task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except (OSError, IndexError):
            continue  # it has just ended
    return total


def _resident_by_ps(root: int) -> int:
    listed = subprocess.run(
        ["/bin/ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    )
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    family = {root}
    while more := {pid for pid, parent, _ in rows if parent in family} - family:
        family |= more
    return 1024 * sum(rss for pid, _, rss in rows if pid in family)
