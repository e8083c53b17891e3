"""Backing off while nothing gets through."""

from polly_core.engine.outage import FIRST_WAIT, LONGEST_WAIT, Outage
from tests.engine.clock import Clock


def _outage(patience: float = 300.0, jitter: float = 1.0) -> tuple[Outage, Clock]:
    clock = Clock()
    return Outage(patience, clock=clock, jitter=lambda: jitter), clock


def test_waits_grow_up_to_a_limit() -> None:
    outage, clock = _outage(patience=1e9)
    waits = []
    for _ in range(10):
        wait = outage.failed()
        assert wait is not None
        waits.append(wait)
        clock.now += wait
    assert waits == sorted(waits)
    assert waits[0] == 2 * FIRST_WAIT
    assert waits[-1] == LONGEST_WAIT


def test_many_items_that_fail_together_wait_alike() -> None:
    outage, _ = _outage()
    assert {outage.failed() for _ in range(64)} == {2 * FIRST_WAIT}


def test_what_the_service_asks_for_is_the_least() -> None:
    outage, _ = _outage()
    assert outage.failed(17.0) == 17.0
    assert outage.failed(0.01) == 2 * FIRST_WAIT


def test_jitter_takes_up_to_half_away() -> None:
    outage, _ = _outage(jitter=0.0)
    assert outage.failed() == FIRST_WAIT


def test_a_success_ends_it() -> None:
    outage, clock = _outage(patience=10.0)
    for _ in range(6):
        assert outage.failed() is not None
        clock.now += 9.0
        outage.over()
    assert outage.successes == 6
    assert outage.failed() == 2 * FIRST_WAIT


def test_patience_ends() -> None:
    outage, clock = _outage(patience=10.0)
    assert outage.failed() is not None
    clock.now += 10.0
    assert outage.failed() is not None
    clock.now += 0.1
    assert outage.failed() is None


def test_no_patience_at_all_still_allows_what_fails_at_one_moment() -> None:
    outage, clock = _outage(patience=0.0)
    assert outage.failed() is not None
    clock.now += 0.001
    assert outage.failed() is None
