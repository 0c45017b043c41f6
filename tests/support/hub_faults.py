"""What goes wrong on the test Hub, on purpose."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Fault:
    """One kind of trouble, for requests whose "METHOD host /path" matches `match`.

    `times` requests meet it (None: all of them), each with `probability`. The host is "hub" or
    "storage". Without anything else the request is answered properly, after `delay` seconds.
    """

    match: str
    status: int | None = None  # answered in place of the real answer
    headers: Mapping[str, str] = field(default_factory=dict)  # added to the answer
    drop: bool = False  # the connection closes without an answer
    cut: float | None = None  # this share of the body is sent, then the connection closes
    short: int = 0  # bytes that the body lacks, with a Content-Length that agrees
    whole: bool = False  # Range is ignored, as some proxies do
    body: bytes | None = None  # answered with status 200 in place of the real body
    delay: float = 0.0
    times: int | None = 1
    probability: float = 1.0


class Faults:
    """Hands each request its fault. A seed makes a storm the same each time, request by request."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self.waiting = list(faults)
        self._random = random.Random(seed)  # noqa: S311 (nothing secret)
        self._lock = threading.Lock()

    def take(self, request: str) -> Fault | None:
        with self._lock:
            for fault in self.waiting:
                if not re.search(fault.match, request):
                    continue
                if self._random.random() >= fault.probability:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self.waiting.remove(fault)
                return fault
        return None


def storm(probability: float = 0.2) -> list[Fault]:
    """Every kind of passing trouble, on weights and small files alike, for ever."""
    share = probability / 6
    kinds = (
        Fault("", status=503),
        Fault("", status=429, headers={"Retry-After": "0"}),
        Fault("", status=500),
        Fault("", drop=True),
        Fault("GET (hub|storage) /.*(resolve|lfs)", cut=0.5),
        Fault("", delay=0.02),
    )
    for kind in kinds:
        kind.times, kind.probability = None, share
    return list(kinds)
