"""A running run is paused, let go on, cancelled and throttled from elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from polly_core.engine.control import RunControl
from polly_core.engine.points import Point
from polly_core.engine.session import Session
from polly_core.errors import CannotProceed
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.run import ItemState, RunState, StopReason
from tests.engine.rig import Rig

NUMBER = 60


def _eventually(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextmanager
def _running(rig: Rig, concurrency: int = 4) -> Iterator[tuple[Session, RunControl]]:
    """A run that takes its time, and a hand on it that has its own connection to the ledger."""
    rig.fill(NUMBER)
    rig.hook = lambda point: time.sleep(0.1) if point is Point.SENDING else None
    request = rig.request(concurrency=concurrency, shard_size=NUMBER)
    with rig.session(request) as session, open_ledger(rig.ledger_url) as ledger:
        session.freeze()
        (shard,) = session.open_shards()
        thread = threading.Thread(target=session.run_shard, args=(shard,))
        thread.start()
        _eventually(lambda: len(rig.fake.writes) > 4, "no write")
        try:
            yield session, RunControl(ledger, request.run_id)
        finally:
            rig.hook = lambda _point: None
            session.stop(StopReason.INTERRUPTED)
            thread.join(60)


def test_paused_nothing_is_written_until_it_goes_on(rig: Rig) -> None:
    with _running(rig) as (session, control):
        control.pause()
        # No new write after three seconds.
        time.sleep(3.0)
        written = len(rig.fake.writes)
        assert written < NUMBER
        time.sleep(1.5)
        assert len(rig.fake.writes) == written
        assert "paused" in session.progress().note
        assert session.stopping is None
        control.go_on()
        _eventually(lambda: not session.open_shards(), "it did not go on")
        assert session.progress().counts.of(ItemState.APPLIED) == NUMBER
        assert session.finish().state is RunState.FINISHED


def test_cancelled_it_stays_resumable_and_the_resume_is_not_cancelled(rig: Rig) -> None:
    with _running(rig) as (session, control):
        control.cancel()
        _eventually(lambda: session.stopping is not None, "it did not stop")
        assert session.stopping is StopReason.CANCELLED
        run_id = session.run_id
    with open_ledger(rig.ledger_url) as ledger:
        counts = ledger.counts(run_id)
    assert counts.of(ItemState.PLANNED, ItemState.SELECTED) > 0
    summary = rig.take_up(run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: NUMBER}
    assert len(rig.fake.writes) == NUMBER


def test_throttled_it_has_fewer_requests_in_flight(rig: Rig) -> None:
    with _running(rig, concurrency=8) as (session, control):
        assert control.throttle(2) == 2
        _eventually(lambda: session.progress().concurrency <= 2, "it was not throttled")
        assert control.throttle(100) == 8, "never more than it was started with"


@pytest.mark.parametrize("ask", [RunControl.pause, RunControl.go_on, RunControl.cancel])
def test_a_run_that_nobody_executes_hears_nothing(
    rig: Rig, ask: Callable[[RunControl], None]
) -> None:
    rig.fill(2)
    summary = rig.run(rig.request())
    with (
        open_ledger(rig.ledger_url) as ledger,
        pytest.raises(CannotProceed, match="not being executed by any process"),
    ):
        ask(RunControl(ledger, RunId(summary.run_id)))
