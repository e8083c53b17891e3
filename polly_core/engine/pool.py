"""The worker threads of one process and run, and the gate that requests pass."""

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum

from polly_core.engine.limiter import Limiter

# Object reads do not count against the service's limit; a few threads of their own keep the
# requests' slots full while the next shard is read.
READERS = 16


class Kind(Enum):
    """What a job needs before it may start."""

    READ = "read"
    """A thread. Reads of the object store."""
    CALL = "call"
    """A thread and a slot of the limiter. Requests to the service that change nothing."""
    WRITE = "write"
    """A thread, a slot, and an open gate."""


Job = Callable[[], None]


class Gate:
    """Closed while there is a reason to. Reasons with a time end by themselves. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._released = False

    def release(self) -> None:
        """Open for good: the run is stopping, and what waits here is to be told so."""
        self._released = True

    def close(self, reason: str, seconds: float = float("inf")) -> None:
        """Hold writes for a reason, for so long or until it is opened for that reason."""
        with self._lock:
            self._until[reason] = max(self._until.get(reason, 0.0), self._clock() + seconds)

    def open(self, reason: str) -> None:
        """The reason is gone."""
        with self._lock:
            self._until.pop(reason, None)

    def closed_for(self) -> tuple[float, str]:
        """Seconds until the gate may open, and why; (0, "") when it is open."""
        now = self._clock()
        with self._lock:
            if self._released:
                return 0.0, ""
            for reason in [r for r, until in self._until.items() if until <= now]:
                del self._until[reason]
            if not self._until:
                return 0.0, ""
            reason = max(self._until, key=lambda r: self._until[r])
            return self._until[reason] - now, reason


class Pool:
    """Runs jobs on a bounded number of threads. A job handles its own errors.

    Reads go first: they are short, and they are what keeps the requests' slots full.
    """

    def __init__(
        self, limiter: Limiter, gate: Gate, *, readers: int = READERS, name: str = "polly"
    ) -> None:
        self._limiter = limiter
        self._gate = gate
        self._queues: dict[Kind, deque[Job]] = {kind: deque() for kind in Kind}
        self._ready = threading.Condition()
        self._in_flight = 0
        self._closing = False
        # Daemons: a request that never answers must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True)
            for n in range(limiter.ceiling + readers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._in_flight

    def submit(self, kind: Kind, job: Job) -> None:
        """Queue a job; it starts when a thread, a slot and the gate allow."""
        with self._ready:
            self._queues[kind].append(job)
            self._ready.notify()

    def wake(self) -> None:
        """Look again: the gate or the limiter changed."""
        with self._ready:
            self._ready.notify_all()

    def drop_writes(self) -> list[Job]:
        """Take back the writes that have not started."""
        with self._ready:
            dropped = list(self._queues[Kind.WRITE])
            self._queues[Kind.WRITE].clear()
            return dropped

    def close(self) -> None:
        """Let the threads end once what they do is done; queued jobs are not started."""
        with self._ready:
            self._closing = True
            self._ready.notify_all()

    def _work(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                return
            kind, job = taken
            try:
                job()
            finally:
                if kind is not Kind.READ:
                    self._give_back()

    def _give_back(self) -> None:
        with self._ready:
            self._in_flight -= 1
            self._ready.notify()

    def _take(self) -> tuple[Kind, Job] | None:
        with self._ready:
            while True:
                if self._closing:
                    return None
                if self._queues[Kind.READ]:
                    return Kind.READ, self._queues[Kind.READ].popleft()
                kind, wait = self._next_request()
                if kind is not None:
                    self._in_flight += 1
                    return kind, self._queues[kind].popleft()
                self._ready.wait(wait)

    def _next_request(self) -> tuple[Kind | None, float | None]:
        """Which request may start now, else how long to wait before looking again."""
        if self._in_flight >= self._limiter.allowed:
            return None, None
        if self._queues[Kind.CALL]:
            return Kind.CALL, None
        if not self._queues[Kind.WRITE]:
            return None, None
        seconds, _ = self._gate.closed_for()
        return (Kind.WRITE, None) if seconds <= 0 else (None, min(seconds, 1.0))
