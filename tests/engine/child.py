"""Processes that carry a run out, and are killed or halted on the way.

They are forked by one warm server process that has only imported: real processes of their own,
without a second of imports each.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from unittest.mock import patch

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import Session, open_session
from polly_core.models.run import RunSummary

_PRELOADED = ["polly_core.engine.session", "polly_core.catalog.connect", "obstore", "psycopg"]


@dataclass(frozen=True)
class Job:
    """What a child does."""

    request: RunRequest
    surroundings: Surroundings
    at: Point | None = None
    """Where it is sent the signal; nowhere if None."""
    passing: int = 1
    after: float = 0.0
    """Seconds after passing the point."""
    signal_number: int = signal.SIGKILL
    process: str = ""
    """What it gives itself out to be, as if it ran on another host."""
    lease_margin: float | None = None
    """Another margin of its leases, for tests that wait for them to expire."""


class _SignalAt:
    """The hook that ends or halts the process it runs in."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._passed = 0
        self._lock = threading.Lock()

    def __call__(self, point: Point) -> None:
        if point is not self._job.at:
            return
        with self._lock:
            self._passed += 1
            if self._passed != self._job.passing:
                return
        if self._job.after:
            timer = threading.Timer(self._job.after, self._signal)
            timer.daemon = True
            timer.start()
        else:
            self._signal()

    def _signal(self) -> None:
        os.kill(os.getpid(), self._job.signal_number)


def carry_through(session: Session, *, barrier: bool) -> RunSummary:
    """A run from wherever it stands to its end."""
    session.freeze()
    if barrier and session.stopping is None:
        session.plan()
    for shard in session.open_shards():
        session.run_shard(shard)
    return session.finish()


@contextmanager
def _passed_off(job: Job) -> Iterator[None]:
    with ExitStack() as stack:
        if job.process:
            name = "polly_core.engine.execution.this_process"
            stack.enter_context(patch(name, lambda: job.process))
        if job.lease_margin is not None:
            stack.enter_context(short_leases(job.lease_margin))
        yield


def short_leases(margin: float) -> AbstractContextManager[object]:
    """Leases of executions begun meanwhile outlive two requests by twice this, not by minutes."""
    return patch("polly_core.engine.execution.LEASE_MARGIN", margin)


def _carry_out(job: Job) -> None:
    with (
        _passed_off(job),
        open_session(job.request, job.surroundings, hook=_SignalAt(job)) as session,
    ):
        summary = carry_through(session, barrier=job.request.barrier)
    # Not through the interpreter's end: it would wait for threads, as no killed process does.
    os._exit(summary.exit_code)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


@contextmanager
def child(job: Job) -> Iterator[ForkServerProcess]:
    """A process at work on the job; gone afterwards, whatever happens."""
    process = _context().Process(target=_carry_out, args=(job,), daemon=True)
    process.start()
    try:
        yield process
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        process.close()


def exit_code(process: ForkServerProcess, seconds: float = 90.0) -> int:
    """Wait for the end of a child; its exit code, minus the signal where one ended it."""
    process.join(seconds)
    assert process.exitcode is not None, f"the child {process.pid} did not end in {seconds:g} s"
    return process.exitcode


def run_child(job: Job) -> int:
    """Let a child do its job; its exit code."""
    with child(job) as process:
        return exit_code(process)
