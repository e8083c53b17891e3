"""How many requests may be in flight: slow start, additive increase, multiplicative decrease."""

import threading
import time
from collections.abc import Callable

START = 8
BACKOFF = 0.5
# Refusals of requests that were already under way say nothing new about the lower rate.
COOLDOWN_SECONDS = 1.0


class Limiter:
    """The allowed concurrency between a floor and a ceiling. Thread-safe; never sleeps."""

    def __init__(
        self, ceiling: int, *, floor: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._floor = floor
        self._ceiling = max(ceiling, floor)
        self._level = float(min(START, self._ceiling))
        self._threshold = float(self._ceiling)
        self._quiet_until = 0.0
        self.reduced = False
        """Refusals have lowered the level since it last stood at the ceiling."""

    @property
    def allowed(self) -> int:
        """Requests that may be in flight now."""
        return int(self._level)

    @property
    def ceiling(self) -> int:
        return self._ceiling

    def set_ceiling(self, ceiling: int) -> None:
        """Change the ceiling of a running run; a lower one takes effect at once."""
        with self._lock:
            self._ceiling = max(ceiling, self._floor)
            self._threshold = float(self._ceiling)
            self._level = min(self._level, float(self._ceiling))

    def on_success(self) -> None:
        """An answer came: double per round trip below the threshold, above it one per round."""
        with self._lock:
            step = 1.0 if self._level < self._threshold else 1.0 / self._level
            self._level = min(self._level + step, float(self._ceiling))
            self.reduced = self.reduced and self._level < self._ceiling

    def on_refusal(self) -> None:
        """429, 503 or a time-out: halve, at most once per cool-down."""
        with self._lock:
            if self._clock() < self._quiet_until:
                return
            self._quiet_until = self._clock() + COOLDOWN_SECONDS
            self._level = max(float(self._floor), self._level * BACKOFF)
            self._threshold = self._level
            self.reduced = True

    def on_outage(self) -> None:
        """Nothing gets through: go down to the floor, so that one request probes."""
        with self._lock:
            self._threshold = max(float(self._floor), self._level * BACKOFF)
            self._level = float(self._floor)
            self.reduced = True
