"""The rate of a run."""

import pytest

from polly_core.engine.meter import WINDOW_SECONDS, Meter
from tests.engine.clock import Clock


def test_the_rate_is_that_of_the_last_window() -> None:
    clock = Clock()
    meter = Meter(clock)
    assert meter.rate(0) == 0.0
    for second in range(1, 61):
        clock.now += 1.0
        # A hundred a second for half a minute, ten a second afterwards.
        processed = 100 * min(second, 30) + 10 * max(0, second - 30)
        rate = meter.rate(processed)
    assert rate == pytest.approx(10.0)


def test_a_run_that_stands_still_has_no_rate() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.rate(0)
    clock.now += 1.0
    assert meter.rate(50) == pytest.approx(50.0)
    for _ in range(int(WINDOW_SECONDS) + 2):
        clock.now += 1.0
        rate = meter.rate(50)
    assert rate == 0.0


def test_two_looks_at_one_moment_do_not_divide_by_nothing() -> None:
    meter = Meter(Clock())
    assert meter.rate(0) == meter.rate(10) == 0.0


def test_seldom_looks_count_too() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.rate(0)
    clock.now += 100.0
    assert meter.rate(1000) == pytest.approx(10.0)
