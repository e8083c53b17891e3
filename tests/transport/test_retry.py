"""When a request is sent again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import (
    CatalogError,
    Conflict,
    NoConnection,
    OutcomeUnknown,
    ReadFailed,
    RepositoryLocked,
    Throttled,
    Unavailable,
)
from polly_core.transport.retry import Attempt, Retrier, RetryPolicy
from tests.transport.stub import Waits, retrier

POLICY = RetryPolicy(retries=5, base=0.2, longest_wait=20.0, total=180.0)


def wait(error: CatalogError, number: int = 1, *, elapsed: float = 0.0) -> float | None:
    return POLICY.wait(Attempt(number, error), elapsed=elapsed, chance=1.0)


@pytest.mark.parametrize("error", [Throttled("t"), Unavailable("t"), NoConnection("t")])
def test_what_did_not_happen_and_may_succeed_is_repeated(error: CatalogError) -> None:
    assert wait(error) == pytest.approx(0.2)


@pytest.mark.parametrize("error", [Conflict("t"), OutcomeUnknown("t"), CatalogError("t")])
def test_what_is_final_or_unknown_is_not_repeated(error: CatalogError) -> None:
    assert wait(error) is None


def test_an_unknown_outcome_is_not_repeated_even_when_a_time_is_named() -> None:
    assert wait(OutcomeUnknown("t", retry_after=1.0)) is None


def test_a_locked_atlas_is_told_at_once_unless_a_time_is_named() -> None:
    assert wait(RepositoryLocked("Repository Locked")) is None
    assert wait(RepositoryLocked("Repository Locked", retry_after=2.0)) == pytest.approx(2.2)


def test_waits_double_up_to_a_cap() -> None:
    policy = RetryPolicy(retries=10, base=1.0, longest_wait=6.0)
    waits = [
        policy.wait(Attempt(number, ReadFailed("t")), elapsed=0.0, chance=1.0)
        for number in (1, 2, 3, 4, 5)
    ]
    assert waits == [1.0, 2.0, 4.0, 6.0, 6.0]


def test_attempts_are_bounded() -> None:
    assert wait(ReadFailed("t"), 5) is not None
    assert wait(ReadFailed("t"), 6) is None


def test_total_time_is_bounded() -> None:
    assert wait(ReadFailed("t"), elapsed=179.0) is not None
    assert wait(ReadFailed("t"), elapsed=179.9) is None
    assert wait(Throttled("t", retry_after=200.0)) is None


@given(
    chance=st.floats(0.0, 1.0, exclude_max=True),
    after=st.floats(0.0, 100.0),
    number=st.integers(1, 5),
)
def test_never_earlier_than_asked_and_jitter_is_full(
    chance: float, after: float, number: int
) -> None:
    told = POLICY.wait(
        Attempt(number, Throttled("t", retry_after=after)), elapsed=0.0, chance=chance
    )
    assert told is not None
    assert told >= after
    free = POLICY.wait(Attempt(number, ReadFailed("t")), elapsed=0.0, chance=chance)
    assert free is not None
    assert free == pytest.approx(chance * 0.2 * 2 ** (number - 1))


def test_the_runner_repeats_until_it_succeeds_and_tells_of_each_failure() -> None:
    waits = Waits()
    heard: list[tuple[str, float]] = []
    answers: list[CatalogError | str] = [Throttled("one", retry_after=3.0), ReadFailed("two"), "ok"]

    def request() -> str:
        answer = answers.pop(0)
        if isinstance(answer, CatalogError):
            raise answer
        return answer

    runner = retrier(waits, lambda error, seconds: heard.append((error.title, seconds)))
    assert runner.run(request) == "ok"
    assert waits.slept == pytest.approx([3.2, 0.4])
    assert [title for title, _ in heard] == ["one", "two"]
    assert [seconds for _, seconds in heard] == pytest.approx([3.2, 0.4])


def test_the_runner_raises_the_last_error() -> None:
    waits = Waits()
    count = 0

    def request() -> None:
        nonlocal count
        count += 1
        raise ReadFailed(f"number {count}")

    with pytest.raises(ReadFailed, match="number 6"):
        retrier(waits).run(request)
    assert len(waits.slept) == 5


def test_other_errors_pass_through_at_once() -> None:
    waits = Waits()

    def request() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        retrier(waits).run(request)
    assert waits.slept == []


def test_the_default_runner_waits_for_real() -> None:
    assert Retrier().policy.retries == 5
