"""How fast a run goes, how long it will take, and why it is as slow as it is."""

import threading
import time
from collections import deque
from collections.abc import Callable

from polly_core.models.jsonvalue import Model
from polly_core.models.run import Counts

WINDOW_SECONDS = 10.0


class Progress(Model):
    """A run at one moment. ``rate`` is items per second over the last ten seconds."""

    counts: Counts
    rate: float
    eta_seconds: float | None
    concurrency: int
    note: str
    """Why it is as slow as it is; empty when nothing holds it back."""


class Meter:
    """Samples the number of processed items. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, processed: int) -> float:
        """Items per second over the window, as of now."""
        now = self._clock()
        with self._lock:
            self._samples.append((now, processed))
            while len(self._samples) > 2 and self._samples[0][0] < now - WINDOW_SECONDS:
                self._samples.popleft()
            first, count = self._samples[0]
        return (processed - count) / (now - first) if now > first else 0.0
