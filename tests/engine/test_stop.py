"""The stop signal of a run."""

import threading

from polly_core.engine.stop import GRACE_SECONDS, StopSignal
from polly_core.models.run import StopReason
from tests.engine.clock import Clock


def test_the_first_reason_counts() -> None:
    stop = StopSignal()
    assert not stop.is_set()
    assert stop.set(StopReason.BUDGET, "too many")
    assert not stop.set(StopReason.INTERRUPTED, "Ctrl-C")
    assert stop.is_set()
    assert (stop.reason, stop.message) == (StopReason.BUDGET, "too many")


def test_what_is_in_flight_has_twenty_seconds() -> None:
    clock = Clock()
    stop = StopSignal(clock)
    assert stop.set(StopReason.CANCELLED)
    assert stop.grace_left() == GRACE_SECONDS == 20.0
    clock.now += 15.0
    assert not stop.set(StopReason.CANCELLED), "asking again must not begin the time anew"
    assert stop.grace_left() == 5.0
    clock.now += 15.0
    assert stop.grace_left() == 0.0


def test_it_wakes_whoever_sleeps() -> None:
    stop = StopSignal()
    woken: list[bool] = []
    sleeper = threading.Thread(target=lambda: woken.append(stop.wait(60)))
    sleeper.start()
    stop.set(StopReason.INTERRUPTED)
    sleeper.join(60)
    assert woken == [True]
    assert stop.wait(0) is True


def test_sleep_ends_by_itself() -> None:
    assert StopSignal().wait(0.001) is False
