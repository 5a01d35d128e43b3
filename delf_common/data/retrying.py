# SPDX-License-Identifier: Apache-2.0
"""Try again, with growing waits, what may pass."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from delf_common.data.failures import Passing
from delf_common.errors import DelfError

LONGEST_RETRY_AFTER = 3600.0  # seconds; a server that asks for more has given up
Result = TypeVar("Result")


class Stopped(Exception):
    """The whole job is to end; this part is not to blame."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Args:
        tries: attempts in a row without a new byte before a file counts as failed.
        first_wait: seconds before the second attempt; each further wait is doubled.
        longest_wait: seconds, where the doubling ends.
        timeout: seconds without a byte after which the server counts as stalled.
    """

    tries: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0
    timeout: float = 60.0

    def wait_before(self, attempt: int, retry_after: str = "") -> float:
        """Return the seconds to wait before attempt 1, 2, ... after a failure.

        Args:
            attempt: 1 for the first repetition.
            retry_after: what the server asked for: seconds, or a date.
        """
        grown = self.first_wait * 2.0 ** min(attempt - 1, 30)
        return max(min(grown, self.longest_wait), seconds_of(retry_after))


def seconds_of(retry_after: str) -> float:
    """Return a Retry-After in seconds from now, 0 for none or one without sense."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, date.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def persist(
    attempt: Callable[[], Result],
    patience: Patience,
    stop: threading.Event,
    say: Callable[[str], None],
    reached: Callable[[], int] = lambda: 0,
) -> Result:
    """Call until it succeeds; give up after ``tries`` attempts without a gain.

    Args:
        attempt: what to do; raises Passing where trying again may help.
        patience: how often, and how long between.
        stop: ends the waiting.
        say: is told of every failure.
        reached: how far the file has come, in bytes: an attempt that gets further than
            any before counts as the first again.

    Raises:
        DelfError: the last failure, when patience has run out, or a lasting one.
        Stopped: the job is to end.
    """
    failures, furthest = 0, reached()
    while True:
        try:
            return attempt()
        except Passing as error:
            failures = 1 if reached() > furthest else failures + 1
            furthest = max(furthest, reached())
            if failures >= patience.tries:
                raise DelfError(f"{error} (tried {failures} times in a row)") from None
            wait = patience.wait_before(failures, error.retry_after)
            if wait > max(LONGEST_RETRY_AFTER, patience.longest_wait):
                raise DelfError(
                    f"{error}: it asks to come back in {wait:.0f} seconds"
                ) from None
            say(f"{error}; again in {wait:.0f} s")
            if stop.wait(wait):
                raise Stopped from None
