"""The gate, and the threads behind it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from polly_core.engine.gather import gather
from polly_core.engine.limiter import Limiter
from polly_core.engine.pool import Gate, Kind, Pool
from tests.engine.clock import Clock


def test_a_gate_opens_by_itself_after_its_time() -> None:
    clock = Clock()
    gate = Gate(clock)
    assert gate.closed_for() == (0.0, "")
    gate.close("slow down", 5.0)
    assert gate.closed_for() == (5.0, "slow down")
    clock.now += 5.0
    assert gate.closed_for() == (0.0, "")


def test_the_longest_reason_is_told_and_each_is_opened_by_itself() -> None:
    clock = Clock()
    gate = Gate(clock)
    gate.close("slow down", 5.0)
    gate.close("the ledger is away")
    assert gate.closed_for() == (float("inf"), "the ledger is away")
    gate.open("the ledger is away")
    assert gate.closed_for() == (5.0, "slow down")
    gate.open("never closed for this")
    gate.open("slow down")
    assert gate.closed_for() == (0.0, "")


def test_a_shorter_time_for_the_same_reason_does_not_open_it_earlier() -> None:
    gate = Gate(Clock())
    gate.close("slow down", 5.0)
    gate.close("slow down", 1.0)
    assert gate.closed_for()[0] == 5.0


def test_a_released_gate_stays_open() -> None:
    gate = Gate(Clock())
    gate.close("slow down", 5.0)
    gate.release()
    gate.close("slow down", 50.0)
    assert gate.closed_for() == (0.0, "")


@contextmanager
def _pool(ceiling: int = 4, readers: int = 2, gate: Gate | None = None) -> Iterator[Pool]:
    pool = Pool(Limiter(ceiling), gate or Gate(), readers=readers)
    try:
        yield pool
    finally:
        pool.close()
        for thread in pool._threads:
            thread.join(60)
            assert not thread.is_alive()


class _Blocking:
    """Jobs that say when they start and end when they are told."""

    def __init__(self) -> None:
        self.started: SimpleQueue[str] = SimpleQueue()
        self.go_on = threading.Event()

    def job(self, name: str) -> None:
        self.started.put(name)
        assert self.go_on.wait(60)


@pytest.mark.parametrize("kind", [Kind.CALL, Kind.WRITE])
def test_no_more_requests_than_allowed_are_in_flight(kind: Kind) -> None:
    jobs = _Blocking()
    with _pool(ceiling=3) as pool:
        for number in range(10):
            pool.submit(kind, lambda number=number: jobs.job(str(number)))  # type: ignore[misc]
        assert {jobs.started.get(timeout=60) for _ in range(3)} == {"0", "1", "2"}
        assert pool.in_flight == 3
        assert jobs.started.empty()
        jobs.go_on.set()
        assert {jobs.started.get(timeout=60) for _ in range(7)} == {str(n) for n in range(3, 10)}


def test_reads_have_threads_of_their_own() -> None:
    jobs = _Blocking()
    with _pool(ceiling=1, readers=2) as pool:
        pool.submit(Kind.WRITE, lambda: jobs.job("write"))
        for _ in range(3):
            pool.submit(Kind.READ, lambda: jobs.job("read"))
        assert sorted(jobs.started.get(timeout=60) for _ in range(3)) == ["read", "read", "write"]
        assert jobs.started.empty()
        jobs.go_on.set()
        assert jobs.started.get(timeout=60) == "read"


def test_a_closed_gate_holds_writes_and_lets_calls_pass() -> None:
    gate = Gate()
    gate.close("the ledger is away")
    jobs = _Blocking()
    jobs.go_on.set()
    with _pool(gate=gate) as pool:
        pool.submit(Kind.WRITE, lambda: jobs.job("write"))
        pool.submit(Kind.CALL, lambda: jobs.job("call"))
        pool.submit(Kind.READ, lambda: jobs.job("read"))
        assert {jobs.started.get(timeout=60) for _ in range(2)} == {"call", "read"}
        assert jobs.started.empty()
        assert pool.waiting_writes == 1
        gate.open("the ledger is away")
        pool.wake()
        assert jobs.started.get(timeout=60) == "write"


def test_calls_go_before_writes() -> None:
    jobs = _Blocking()
    with _pool(ceiling=1) as pool:
        pool.submit(Kind.WRITE, lambda: jobs.job("first"))
        pool.submit(Kind.WRITE, lambda: jobs.job("write"))
        pool.submit(Kind.CALL, lambda: jobs.job("call"))
        jobs.go_on.set()
        assert [jobs.started.get(timeout=60) for _ in range(3)] == ["first", "call", "write"]


def test_writes_go_by_their_turn_and_then_as_they_came() -> None:
    jobs = _Blocking()
    with _pool(ceiling=1) as pool:
        pool.submit(Kind.WRITE, lambda: jobs.job("first"), turn=9)
        assert jobs.started.get(timeout=60) == "first"
        for name, turn in (("later", 2), ("sooner", 1), ("later still", 2), ("sooner yet", 1)):
            pool.submit(Kind.WRITE, lambda name=name: jobs.job(name), turn=turn)  # type: ignore[misc]
        jobs.go_on.set()
        found = [jobs.started.get(timeout=60) for _ in range(4)]
        assert found == ["sooner", "sooner yet", "later", "later still"]


def test_closing_starts_nothing_more() -> None:
    jobs = _Blocking()
    with _pool(ceiling=1) as pool:
        pool.submit(Kind.WRITE, lambda: jobs.job("first"))
        pool.submit(Kind.WRITE, lambda: jobs.job("second"))
        assert jobs.started.get(timeout=60) == "first"
        pool.close()
        jobs.go_on.set()
    assert jobs.started.empty()


def test_gather_keeps_the_order() -> None:
    with _pool() as pool:
        assert gather(pool, Kind.READ, lambda n: n * n, range(50)) == [n * n for n in range(50)]
        assert gather(pool, Kind.READ, lambda n: n, []) == []


def test_gather_raises_the_first_error_after_trying_everything() -> None:
    tried: SimpleQueue[int] = SimpleQueue()

    def odd_ones_fail(number: int) -> int:
        tried.put(number)
        if number % 2:
            raise ValueError(number)
        return number

    with _pool() as pool, pytest.raises(ValueError, match=r"^1$"):
        gather(pool, Kind.CALL, odd_ones_fail, range(10))
    assert tried.qsize() == 10


def test_gather_waits_for_nobody_who_left() -> None:
    def leave(number: int) -> int:
        raise SystemExit(number)

    with _pool() as pool, pytest.raises(SystemExit):
        gather(pool, Kind.CALL, leave, range(3))
