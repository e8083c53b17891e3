"""Keeping a lease alive."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from polly_core.engine.heartbeat import Heartbeat
from polly_core.engine.stop import StopSignal
from polly_core.errors import LedgerUnavailable, OwnershipLost
from polly_core.ledger.ledger import Ledger
from polly_core.models.run import ExecutionId, StopReason
from tests.engine.clock import Clock

LEASE = 0.2


class _Renewals:
    """A ledger of which only renewals are asked; ``answers`` tells how each goes."""

    def __init__(self, answers: list[Exception | None]) -> None:
        self._answers = answers
        self.asked = 0
        self.all_asked = threading.Event()

    def renew_execution(self, execution_id: ExecutionId, *, lease_seconds: float) -> None:
        assert (execution_id, lease_seconds) == ("e", LEASE)
        self.asked += 1
        answer = self._answers.pop(0) if self._answers else None
        if not self._answers:
            self.all_asked.set()
        if answer is not None:
            raise answer


@contextmanager
def _beating(
    renewals: _Renewals, clock: Callable[[], float], stop: StopSignal
) -> Iterator[Heartbeat]:
    ledger = cast("Ledger", renewals)
    heartbeat = Heartbeat(ledger, ExecutionId("e"), LEASE, stop, clock=clock)
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.close()


def test_a_lease_counts_from_before_its_renewal_was_asked_for() -> None:
    clock = Clock()

    class Slow(_Renewals):
        def renew_execution(self, execution_id: ExecutionId, *, lease_seconds: float) -> None:
            assert asked.wait(60)
            clock.now += 0.15
            super().renew_execution(execution_id, lease_seconds=lease_seconds)
            assert answered.wait(60)

    asked, answered = threading.Event(), threading.Event()
    stop = StopSignal()
    renewals = Slow([None])
    with _beating(renewals, clock, stop) as heartbeat:
        assert heartbeat.outlives(0.19)
        assert not heartbeat.outlives(0.21)
        asked.set()
        assert renewals.all_asked.wait(60)
        assert not heartbeat.outlives(0.06), "the renewal is not answered yet"
        answered.set()
    assert not stop.is_set()


def test_it_is_renewed_again_and_again() -> None:
    clock = Clock()
    stop = StopSignal()
    renewals = _Renewals([None, None, None])
    with _beating(renewals, clock, stop) as heartbeat:
        assert renewals.all_asked.wait(60)
        assert heartbeat.outlives(0.1)
    assert renewals.asked >= 3
    assert not stop.is_set()


def test_a_ledger_that_is_away_is_asked_again_and_the_lease_runs_out() -> None:
    clock = Clock()
    stop = StopSignal()
    renewals = _Renewals([LedgerUnavailable("away"), None])
    with _beating(renewals, clock, stop) as heartbeat:
        clock.now += 0.3
        assert not heartbeat.outlives(0.0)
        assert renewals.all_asked.wait(60)
    assert heartbeat.outlives(0.1), "the second renewal counts"
    assert not stop.is_set()


def test_a_lost_execution_stops_the_run_at_once() -> None:
    stop = StopSignal()
    renewals = _Renewals([OwnershipLost("taken over")])
    with _beating(renewals, Clock(), stop) as heartbeat:
        assert stop.wait(60)
        assert not heartbeat.outlives(0.0)
    assert (stop.reason, stop.message) == (StopReason.CANNOT_PROCEED, "taken over")
    assert renewals.asked == 1


@pytest.mark.parametrize("times", [1, 2])
def test_closing_ends_the_thread(times: int) -> None:
    stop = StopSignal()
    with _beating(_Renewals([]), Clock(), stop) as heartbeat:
        for _ in range(times):
            heartbeat.close()
        assert not any(
            thread.name == "polly-heartbeat" and thread.is_alive() for thread in [heartbeat._thread]
        )
