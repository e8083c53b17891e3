"""The tutorial's helper, and what it is made of."""

import threading
import time
from collections.abc import Iterator

import pytest

from polly_core.catalog.parallel import run_parallel
from polly_core.errors import InvalidInput
from polly_core.threading_utils import FailureLimitError, for_each_threaded


def test_results_are_in_the_order_of_the_items() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    report = for_each_threaded([0, 1, 2, 3], slow_first, max_workers=4)
    assert report.results == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert report.failures == []
    assert report.total == 4


def test_nothing_to_do() -> None:
    assert for_each_threaded([], print).total == 0


@pytest.mark.parametrize(
    ("allowed", "fails"),
    [(0, True), (0.1, True), (0.2, False), (20, False), (19, True), (1, False), (100, False)],
)
def test_how_many_may_fail(allowed: float, fails: bool) -> None:
    def fn(item: int) -> None:
        if item < 2:
            raise ValueError(item)

    if fails:
        with pytest.raises(FailureLimitError, match="2 of 10"):
            for_each_threaded(range(10), fn, max_error_perc=allowed)
    else:
        assert len(for_each_threaded(range(10), fn, max_error_perc=allowed).failures) == 2


@pytest.mark.parametrize("share", [-0.1, 101])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match="max_error_perc"):
        for_each_threaded([1], print, max_error_perc=share)


def test_items_are_taken_as_threads_become_free() -> None:
    taken: list[int] = []
    release = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    def fn(item: int) -> None:
        if item == 0:
            assert max(taken) <= 4
            release.set()
        release.wait(5)

    assert run_parallel(items(), fn, max_workers=4).failures == []


def test_an_interruption_begins_nothing_more_and_goes_on() -> None:
    seen: list[int] = []

    def fn(item: int) -> None:
        seen.append(item)
        if item == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_parallel(range(1000), fn, max_workers=1)
    assert seen == [0, 1, 2, 3]


def test_items_that_cannot_be_read_are_the_callers_error() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        run_parallel(items(), lambda item: item, max_workers=2)


def test_no_worker_is_refused() -> None:
    with pytest.raises(InvalidInput, match="max_workers"):
        run_parallel([1], lambda item: item, max_workers=0)


def test_progress_is_on_stderr_when_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    for_each_threaded([1, 2, 3], lambda item: item, verbose=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("\r3 done, 0 failed\n")
