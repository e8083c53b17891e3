"""The worker threads of one process and run, and the gate that requests pass."""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from queue import SimpleQueue

from polly_core.engine.limiter import Limiter

# Object reads do not count against the service's limit; they have threads of their own, so that
# the requests' slots stay full while the next shard is read.
READERS = 32


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

    What may start is decided when a job comes or ends, and by ``wake``; threads only take what
    was admitted, so that none is woken in vain.
    """

    def __init__(self, limiter: Limiter, gate: Gate, *, readers: int = READERS) -> None:
        self._limiter = limiter
        self._gate = gate
        self._readers = readers
        self._lock = threading.Lock()
        self._reads: deque[Job] = deque()
        self._calls: deque[Job] = deque()
        self._writes: list[tuple[int, int, Job]] = []
        self._numbers = itertools.count()
        self._admitted: SimpleQueue[tuple[bool, Job] | None] = SimpleQueue()
        self._reading = 0
        self._in_flight = 0
        # Daemons: a request that never answers must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, name=f"polly-{n}", daemon=True)
            for n in range(limiter.ceiling + readers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._in_flight

    @property
    def waiting_writes(self) -> int:
        """Writes that are queued and not started."""
        return len(self._writes)

    def submit(self, kind: Kind, job: Job, *, turn: int = 0) -> None:
        """Queue a job; it starts when a thread, a slot and the gate allow.

        Writes start by their turn, the lowest first, and then as they came.
        """
        with self._lock:
            if kind is Kind.READ:
                self._reads.append(job)
            elif kind is Kind.CALL:
                self._calls.append(job)
            else:
                heapq.heappush(self._writes, (turn, next(self._numbers), job))
            self._admit()

    def wake(self) -> None:
        """Look again: the gate or the limiter may have changed."""
        with self._lock:
            self._admit()

    def close(self) -> None:
        """Let the threads end once what they do is done; queued jobs are not started."""
        with self._lock:
            self._reads.clear()
            self._calls.clear()
            self._writes.clear()
        for _ in self._threads:
            self._admitted.put(None)

    def _admit(self) -> None:
        while self._reads and self._reading < self._readers:
            self._reading += 1
            self._admitted.put((False, self._reads.popleft()))
        while self._in_flight < self._limiter.allowed:
            if self._calls:
                job = self._calls.popleft()
            elif self._writes and self._gate.closed_for()[0] <= 0:
                job = heapq.heappop(self._writes)[2]
            else:
                return
            self._in_flight += 1
            self._admitted.put((True, job))

    def _work(self) -> None:
        while (taken := self._admitted.get()) is not None:
            is_request, job = taken
            try:
                job()
            finally:
                self._ended(is_request)

    def _ended(self, is_request: bool) -> None:
        with self._lock:
            if is_request:
                self._in_flight -= 1
            else:
                self._reading -= 1
            self._admit()
