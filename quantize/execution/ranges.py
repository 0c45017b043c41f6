"""Which rows of which tensor are done: ranges that grow together, whatever order they come in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from quantize.planning.plan import Task


class Done:
    """Finished rows of the tensors of a plan; `rows` is how many each tensor has."""

    def __init__(self, rows: Sequence[int]) -> None:
        self._rows = rows
        # Per tensor: disjoint ranges in order, none touching the next.
        self._ranges: list[list[tuple[int, int]]] = [[] for _ in rows]

    def add(self, task: Task) -> None:
        """Count rows lo..hi of a tensor as done. Raises ValueError if there are no such rows."""
        lo, hi = task.lo, task.hi
        if not (0 <= task.index < len(self._rows) and 0 <= lo <= hi <= self._rows[task.index]):
            raise ValueError(f"no such rows: {task}")
        ranges = self._ranges[task.index]
        first = bisect_left(ranges, lo, key=lambda span: span[1])
        last = first
        while last < len(ranges) and ranges[last][0] <= hi:
            lo, hi = min(lo, ranges[last][0]), max(hi, ranges[last][1])
            last += 1
        ranges[first:last] = [(lo, hi)]

    def complete(self, index: int) -> bool:
        """Whether all rows of the tensor at `index` are done."""
        return self._ranges[index] == [(0, self._rows[index])] or not self._rows[index]

    def missing(self, task: Task) -> Iterator[Task]:
        """The parts of a task that are not done yet."""
        lo = task.lo
        for start, stop in self._ranges[task.index]:
            if start > lo and lo < task.hi:
                yield Task(task.index, lo, min(start, task.hi))
            lo = max(lo, stop)
        if lo < task.hi:
            yield Task(task.index, lo, task.hi)

    def common(self, other: Done) -> Done:
        """What is done in both."""
        both = Done(self._rows)
        for index, ranges in enumerate(self._ranges):
            for span in ranges:
                start = span[0]
                for gap in other.missing(Task(index, *span)):
                    both.add(Task(index, start, gap.lo))
                    start = gap.hi
                both.add(Task(index, start, span[1]))
        return both

    def tasks(self) -> Iterator[Task]:
        """The finished ranges."""
        for index, ranges in enumerate(self._ranges):
            for lo, hi in ranges:
                yield Task(index, lo, hi)
