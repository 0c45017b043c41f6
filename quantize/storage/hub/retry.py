"""Patience with a network: waiting between tries, longer each time, and as long as we are told."""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from quantize.storage.hub.errors import hub_failures, is_passing

Result = TypeVar("Result")

FIRST_WAIT = 0.5  # seconds; each later wait is twice as long,
_LONGEST_WAIT = 30.0  # up to this.
_LONGEST_ORDERED_WAIT = 600.0  # a server that wants more is as good as down

_RESET = re.compile(r"\bt\s*=\s*(\d+)")


class PassingError(Exception):
    """Another try may go better; `ordered` is how many seconds the server wants us to wait."""

    def __init__(self, reason: str, ordered: float | None = None) -> None:
        super().__init__(reason)
        self.ordered = ordered


class Backoff:
    """The waits between tries that got nowhere."""

    def __init__(self, tries: int = 7) -> None:
        self._tries = tries
        self._failed = 0

    def progress(self) -> None:
        """Something arrived: the next trouble is the first one again."""
        self._failed = 0

    def wait(self, ordered: float | None = None) -> bool:
        """Sleep before the next try; False when there were enough.

        `ordered` is how long the server asked us to wait. Else it is half to all of a time that
        doubles, drawn at random: many clients that failed together must not come back together.
        """
        self._failed += 1
        if self._failed >= self._tries or (ordered or 0) > _LONGEST_ORDERED_WAIT:
            return False
        longest = min(FIRST_WAIT * 2 ** (self._failed - 1), _LONGEST_WAIT)
        share = random.uniform(0.5, 1.0)  # noqa: S311 (nothing secret)
        time.sleep(longest * share if ordered is None else ordered + FIRST_WAIT * share)
        return True


def persistently(action: Callable[[], Result], tries: int = 7) -> Result:
    """What `action` returns, tried again while its trouble may pass. Raises what it raised last."""
    backoff = Backoff(tries)
    while True:
        try:
            return action()
        except hub_failures() as error:
            if not is_passing(error):
                raise
            response = getattr(error, "response", None)
            if not backoff.wait(ordered_wait(response.headers) if response is not None else None):
                raise


def ordered_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by Retry-After (seconds or a date), or by the Hub's RateLimit header."""
    after = headers.get("Retry-After", "").strip()
    if after.isdigit():
        return float(after)
    if after:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - time.time())
        except ValueError:
            return None
    reset = _RESET.search(headers.get("RateLimit", ""))
    return float(reset[1]) if reset else None
