"""Patience with a network: waits between tries, longer each time, or as long as a server asks."""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from quantize.storage.hub.errors import hub_failures, is_transient

Result = TypeVar("Result")

FIRST_WAIT = 0.5  # seconds; each later wait is twice as long,
_LONGEST_WAIT = 30.0  # up to this.
_LONGEST_RETRY_AFTER = 600.0  # give up if the server asks for a longer wait

_RESET = re.compile(r"\bt\s*=\s*(\d+)")


class TransientError(Exception):
    """Another try may go better; `retry_after` is how many seconds the server wants us to wait."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Backoff:
    """The waits between tries that got nowhere."""

    def __init__(self, tries: int = 7) -> None:
        self._tries = tries
        self._failed = 0

    def progress(self) -> None:
        """Something arrived: the next trouble is the first one again."""
        self._failed = 0

    def wait(self, retry_after: float | None = None) -> bool:
        """Sleep before the next try; False when there were enough.

        `retry_after` is how long the server asked us to wait. Else it is half to all of a time that
        doubles, drawn at random: many clients that failed together must not come back together.
        """
        self._failed += 1
        if self._failed >= self._tries or (retry_after or 0) > _LONGEST_RETRY_AFTER:
            return False
        longest = min(FIRST_WAIT * 2 ** (self._failed - 1), _LONGEST_WAIT)
        share = random.uniform(0.5, 1.0)  # noqa: S311 (nothing secret)
        time.sleep(longest * share if retry_after is None else retry_after + FIRST_WAIT * share)
        return True


def with_retries(action: Callable[[], Result], tries: int = 7) -> Result:
    """What `action` returns, tried again while its trouble may pass. Raises what it raised last."""
    backoff = Backoff(tries)
    while True:
        try:
            return action()
        except hub_failures() as error:
            if not is_transient(error):
                raise
            response = getattr(error, "response", None)
            if not backoff.wait(wait_asked_for(response.headers) if response is not None else None):
                raise


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
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
