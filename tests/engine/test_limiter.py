"""How many requests may be in flight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.engine.limiter import COOLDOWN_SECONDS, START, Limiter
from tests.engine.clock import Clock


def _limiter(ceiling: int = 64, *, floor: int = 1) -> tuple[Limiter, Clock]:
    clock = Clock()
    return Limiter(ceiling, floor=floor, clock=clock), clock


def _succeed(limiter: Limiter, times: int) -> None:
    for _ in range(times):
        limiter.on_success()


def test_it_starts_slowly_and_doubles_per_round_trip() -> None:
    limiter, _ = _limiter()
    assert limiter.allowed == START == 8
    _succeed(limiter, 8)
    assert limiter.allowed == 16
    _succeed(limiter, 48)
    assert limiter.allowed == 64
    _succeed(limiter, 100)
    assert limiter.allowed == 64


def test_a_low_ceiling_is_kept_from_the_start() -> None:
    limiter, _ = _limiter(3)
    assert limiter.allowed == 3
    assert limiter.ceiling == 3


def test_a_refusal_halves_and_then_it_grows_by_one_per_round() -> None:
    limiter, _ = _limiter()
    _succeed(limiter, 56)
    limiter.on_refusal()
    assert limiter.allowed == 32
    assert limiter.reduced
    _succeed(limiter, 33)
    assert limiter.allowed == 33


def test_refusals_of_one_moment_count_once() -> None:
    limiter, clock = _limiter()
    _succeed(limiter, 56)
    for _ in range(30):
        limiter.on_refusal()
    assert limiter.allowed == 32
    clock.now += COOLDOWN_SECONDS + 0.01
    limiter.on_refusal()
    assert limiter.allowed == 16


def test_it_never_goes_below_the_floor() -> None:
    limiter, clock = _limiter(16, floor=2)
    for _ in range(10):
        clock.now += 2 * COOLDOWN_SECONDS
        limiter.on_refusal()
    assert limiter.allowed == 2


def test_an_outage_leaves_one_probe_and_recovers_fast_to_half() -> None:
    limiter, _ = _limiter()
    _succeed(limiter, 56)
    limiter.on_outage()
    assert limiter.allowed == 1
    _succeed(limiter, 31)
    assert limiter.allowed == 32
    _succeed(limiter, 20)
    assert limiter.allowed == 32, "above half it must grow slowly"


def test_back_at_the_ceiling_it_is_not_reduced_any_more() -> None:
    limiter, _ = _limiter(4)
    limiter.on_refusal()
    assert limiter.reduced
    _succeed(limiter, 20)
    assert limiter.allowed == 4
    assert not limiter.reduced


def test_a_new_ceiling_takes_effect_at_once() -> None:
    limiter, _ = _limiter()
    _succeed(limiter, 56)
    limiter.set_ceiling(5)
    assert (limiter.allowed, limiter.ceiling) == (5, 5)
    limiter.set_ceiling(20)
    assert limiter.allowed == 5
    _succeed(limiter, 15)
    assert limiter.allowed == 20


@given(
    ceiling=st.integers(1, 200),
    floor=st.integers(1, 8),
    events=st.lists(st.sampled_from(["ok", "refused", "outage", "later"]), max_size=200),
)
def test_it_stays_between_floor_and_ceiling(ceiling: int, floor: int, events: list[str]) -> None:
    limiter, clock = _limiter(ceiling, floor=floor)
    for event in events:
        if event == "ok":
            limiter.on_success()
        elif event == "refused":
            limiter.on_refusal()
        elif event == "outage":
            limiter.on_outage()
        else:
            clock.now += 1.5
        assert floor <= limiter.allowed <= max(ceiling, floor)


def test_without_refusals_nothing_is_reduced() -> None:
    limiter, _ = _limiter()
    assert limiter.reduced is False
    _succeed(limiter, 3)
    assert limiter.reduced is False
    assert limiter.allowed == pytest.approx(11)
