"""Stopping a run: one signal for every shard and worker of the process."""

import threading
import time
from collections.abc import Callable

from polly_core.models.run import StopReason

# What is in flight when a run stops gets this long to answer.
GRACE_SECONDS = 20.0


class StopSignal:
    """Set once; the first reason counts. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._event = threading.Event()
        self._lock = threading.Lock()
        self.reason: StopReason | None = None
        self.message = ""
        self._since = 0.0

    def set(self, reason: StopReason, message: str = "") -> bool:
        """Ask everything to stop; False when it was asked before."""
        with self._lock:
            if self.reason is not None:
                return False
            self.reason, self.message = reason, message
            self._since = self._clock()
            self._event.set()
            return True

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until the stop; True when stopping."""
        return self._event.wait(seconds)

    def grace_left(self) -> float:
        """Seconds that requests in flight still have."""
        return max(0.0, self._since + GRACE_SECONDS - self._clock())
