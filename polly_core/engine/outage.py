"""Backing off while nothing gets through, and giving up after a while."""

import random
import threading
import time
from collections.abc import Callable

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0


class Outage:
    """Counts failures between two successes. Thread-safe; never sleeps.

    Any success ends the outage. ``patience`` is how many seconds may pass without one.
    """

    def __init__(
        self,
        patience: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._began: float | None = None
        self._wait = FIRST_WAIT
        self._raised_at = 0.0
        self.successes = 0

    def over(self) -> None:
        """Something got through."""
        with self._lock:
            self.successes += 1
            self._began = None
            self._wait = FIRST_WAIT

    def failed(self, hint: float = 0.0) -> float | None:
        """Seconds to wait before the next try; None when patience is at its end.

        Args:
            hint: seconds the service asked to wait.
        """
        with self._lock:
            now = self._clock()
            if self._began is None:
                self._began = now
            if now - self._began > self._patience:
                return None
            # Many items fail together: only the first of them makes the wait longer.
            if now >= self._raised_at + self._wait:
                self._raised_at = now
                self._wait = min(self._wait * 2, LONGEST_WAIT)
            return max(hint, self._wait * (0.5 + self._jitter() / 2))
