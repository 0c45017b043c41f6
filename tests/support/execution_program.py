"""A conversion in a process of its own, for tests that kill it.

    python -m tests.support.execution_program CHECKPOINT OUTPUT JOBS [MAX_SIZE]

Converts to Q4_K with small tasks, in processes where there are several jobs, and records what is
done many times a second. Prints a line for each note and each finished task, and the digests at the
end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from quantize.execution import journal_writer as recorder
from quantize.execution import memory, run
from quantize.options.run import RunOptions
from quantize.planning.model import OutputTensor
from quantize.progress import NullProgress
from tests.support.execution_models import open_checkpoint, plan_of


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Printer(NullProgress):
    def note(self, text: str) -> None:
        say(text)

    def advance(self, nbytes: int, item: str) -> None:
        say(item)


def main(folder: str, output: str, jobs: str, max_size: str = "") -> None:
    memory.LARGEST_STEP = 1 << 16
    memory.WORTH_PROCESSES = 0
    recorder.INTERVAL = 0.02
    source = open_checkpoint(Path(folder))
    outputs = [
        OutputTensor(f"blk.{index}.ffn_up.weight", weight.shape, (name,))
        for index, (name, weight) in enumerate(source.weights.items())
    ]
    plan = plan_of(outputs, "Q4_K", int(max_size) if max_size else None)
    settings = RunOptions(jobs=int(jobs), kernels="numpy")
    (written,) = run([plan], source, [Path(output)], settings, Printer(), identity=folder)
    say(" ".join(shard.sha256 for shard in written.shards))


if __name__ == "__main__":
    main(*sys.argv[1:])
