"""How much is let through, and what chance decides."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from polly_core.server.rehearsal import Fate, Faults, Rehearsal


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_wrong_by_default() -> None:
    rehearsal = Rehearsal()
    assert {rehearsal.fate() for _ in range(100)} == {Fate.SERVE}
    assert not rehearsal.drops_answer()


@settings(deadline=None)
@given(
    rate=st.floats(0.5, 500),
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_no_stretch_of_time_lets_through_more_than_the_rate(rate: float, gaps: list[float]) -> None:
    clock = Clock()
    rehearsal = Rehearsal(Faults(reject_above=rate), monotonic=clock)
    served = []
    for gap in gaps:
        clock.now += gap
        if rehearsal.fate() is Fate.SERVE:
            served.append(clock.now)
    burst = max(1.0, rate / 10)
    for (first, start), (last, end) in itertools.combinations(enumerate(served), 2):
        assert last - first + 1 <= burst + rate * (end - start) + 1e-6


def test_a_patient_client_is_never_refused() -> None:
    clock = Clock()
    rehearsal = Rehearsal(Faults(reject_above=10), monotonic=clock)
    for _ in range(100):
        clock.now += 0.1001
        assert rehearsal.fate() is Fate.SERVE


def test_rates_are_frequencies() -> None:
    chances = itertools.cycle(n / 100 for n in range(100))
    rehearsal = Rehearsal(Faults(fail_rate=0.05, drop_rate=0.2), chance=lambda: next(chances))
    assert [rehearsal.fate() for _ in range(100)].count(Fate.FAIL) == 5
    assert [rehearsal.drops_answer() for _ in range(100)].count(True) == 20


def test_switches_turn_while_it_serves() -> None:
    rehearsal = Rehearsal(chance=lambda: 0.5)
    rehearsal.set(Faults(fail_rate=1))
    assert rehearsal.fate() is Fate.FAIL
    assert rehearsal.faults.fail_rate == 1
    rehearsal.set(Faults())
    assert rehearsal.fate() is Fate.SERVE


@pytest.mark.parametrize(
    "faults", [{"fail_rate": 1.5}, {"drop_rate": -0.1}, {"reject_above": 0}, {"delay_ms": -1}]
)
def test_impossible_faults_are_refused(faults: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Faults.model_validate(faults)
