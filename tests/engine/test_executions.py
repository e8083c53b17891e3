"""Two executions of one run, leases of the dead, two runs on the same datasets."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.ledger.ledger import open_ledger
from polly_core.models.run import ItemState, OnLease, RunState, RunSummary, StopReason
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from tests.engine.child import Job, child, exit_code, run_child, short_leases
from tests.engine.real import RealRig, expected, written
from tests.engine.rig import Rig
from tests.support.standing import ingestions

NUMBER = 28
ELSEWHERE = "another-host/boot/pid:[1]/4711/99"


def _until(seen: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < deadline, f"{what} did not happen within 60 s"
        time.sleep(0.02)


def _states(rig: RealRig, request: RunRequest) -> set[ItemState]:
    with open_ledger(rig.ledger_url) as ledger:
        return set(ledger.counts(request.run_id).by_state)


def _written_once(rig: RealRig, request: RunRequest) -> None:
    assert rig.standing() == expected(NUMBER)
    recorded = ingestions(rig.server, rig.atlas_id, request.run_id)
    assert sorted(one.dataset_id for one in recorded) == written(NUMBER)


def _halted(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
@pytest.mark.parametrize("point", [Point.FROZEN, Point.SENDING])
def test_a_second_execution_waits_and_both_end_alike(
    real: RealRig, barrier: bool, point: Point
) -> None:
    """A flow retry beside a living process: it is halted in the middle, and goes on later."""
    real.fill(NUMBER)
    request = real.request(barrier=barrier)
    job = Job(request, real.surroundings(), at=point, passing=1, signal_number=signal.SIGSTOP)
    with child(job) as first:
        assert first.pid is not None
        pid = first.pid
        _until(lambda: _halted(pid), "the halt")
        with child(Job(request, real.surroundings())) as second:
            if point is Point.SENDING:
                second.join(1.5)
                assert second.is_alive(), "it does not wait for the shard's owner"
            os.kill(pid, signal.SIGCONT)
            codes = exit_code(first), exit_code(second)
    assert codes == (1, 1), "one item cannot be changed"
    _written_once(real, request)
    summary = real.take_up(request)
    assert summary.state is RunState.FINISHED
    assert summary.counts.of(ItemState.APPLIED) == len(written(NUMBER))


def test_two_executions_from_the_first_moment(real: RealRig) -> None:
    """Nobody is first: both freeze, plan and write."""
    real.fill(NUMBER)
    request = real.request(barrier=True)
    job = Job(request, real.surroundings())
    with child(job) as one, child(job) as other:
        assert (exit_code(one), exit_code(other)) == (1, 1)
    _written_once(real, request)
    assert len(real.items(request)) == NUMBER


def test_many_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    """The first runs of a fresh home, started together."""
    together = threading.Barrier(8)

    def open_one(url: str) -> str:
        together.wait(60)
        with open_ledger(url) as ledger:
            return ledger.name

    with ThreadPoolExecutor(8) as pool:
        for number in range(30):
            url = f"sqlite:///{tmp_path / f'{number}.db'}"
            assert len(list(pool.map(open_one, [url] * 8))) == 8


def test_two_executions_in_one_process_have_the_same_summary(rig: Rig) -> None:
    rig.fill(60)
    request = rig.request()
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(rig.run, [request, request])
    assert one.counts == other.counts
    assert one.state is other.state is RunState.FINISHED
    assert len(rig.fake.writes) == 60


def test_one_that_ends_does_not_stop_a_run_that_another_is_at(rig: Rig) -> None:
    rig.fill(6)
    request = rig.request()
    with rig.session(request) as staying:
        staying.freeze()
        (shard,) = staying.open_shards()
        with rig.session(request) as leaving:
            leaving.stop(StopReason.INTERRUPTED, "interrupted")
            left = leaving.finish()
        assert (left.state, left.stop) == (RunState.RUNNING, StopReason.INTERRUPTED)
        assert left.exit_code == 130
        with open_ledger(rig.ledger_url) as ledger:
            known = ledger.run(request.run_id)
        assert (known.state, known.stop) == (RunState.RUNNING, None)
        staying.run_shard(shard)
        assert staying.finish().exit_code == 0
    assert len(rig.fake.writes) == 6


def test_a_dead_process_of_this_host_need_not_expire(real: RealRig) -> None:
    real.fill(NUMBER)
    request = real.request()
    assert run_child(Job(request, real.surroundings(), at=Point.ANSWERED, passing=5)) == -9
    with open_ledger(real.ledger_url) as ledger:
        dead = ledger.executions(request.run_id, living=True)
    assert len(dead) == 1, "its lease has not expired"
    real.take_up(request)
    _written_once(real, request)


def test_an_expired_lease_is_taken_over_after_settling(real: RealRig) -> None:
    """The dead holder is on another host: nothing but its lease tells that it is gone."""
    real.fill(NUMBER)
    real.read_timeout = 1.0
    request = real.request()
    surroundings = real.surroundings().model_copy(update={"connect_timeout": 0.5})
    job = Job(
        request,
        surroundings,
        at=Point.ANSWERED,
        passing=5,
        process=ELSEWHERE,
        lease_margin=1.0,
    )
    assert run_child(job) == -9
    with open_ledger(real.ledger_url) as ledger:
        holder = ledger.executions(request.run_id)[0]
        assert holder.process == ELSEWHERE
        assert ItemState.SENT in _states(real, request)
        summary = real.take_up(request)
        ended = ledger.executions(request.run_id)[0].ended_at
    assert ended is not None
    assert ended >= holder.expires_at, "it was taken over before its lease ended"
    assert summary.state is RunState.FINISHED
    _written_once(real, request)


def test_another_run_settles_nothing_but_waits_for_the_dead_runs_lease(real: RealRig) -> None:
    """Two runs: the first dies on another host with writes in flight, the second has its turn."""
    real.fill(NUMBER)
    real.read_timeout = 1.0
    first = real.request()
    job = Job(
        first,
        real.surroundings().model_copy(update={"connect_timeout": 0.5}),
        at=Point.ANSWERED,
        passing=5,
        process=ELSEWHERE,
        lease_margin=1.0,
    )
    assert run_child(job) == -9
    change = {"steps": [{"set": "second", "value": True}]}
    second = real.request(change=change, on_lease=OnLease.WAIT)  # type: ignore[arg-type]
    summary = real.run(second)
    assert summary.counts.by_state == {ItemState.APPLIED: NUMBER}
    again = real.take_up(first)
    # What the first run had planned and the second changed since has drifted; nothing is lost.
    assert set(again.counts.by_state) <= {
        ItemState.APPLIED,
        ItemState.UNCHANGED,
        ItemState.INVALID,
        ItemState.DRIFTED,
    }
    applied = {row.dataset_id for row in real.items(first) if row.state is ItemState.APPLIED}
    for name, state in real.standing().items():
        assert state.metadata["second"] is True
        assert state.versions == (3 if name in applied else 2)


def test_another_run_need_not_wait_for_the_lease_of_a_process_dead_on_this_host(
    real: RealRig,
) -> None:
    """Its writes of before are settled by its own resume, never overwritten in silence."""
    real.fill(NUMBER)
    first = real.request()
    assert run_child(Job(first, real.surroundings(), at=Point.ANSWERED, passing=5)) == -9
    with open_ledger(real.ledger_url) as ledger:
        assert ledger.executions(first.run_id, living=True), "its lease has not expired"
    change = {"steps": [{"set": "second", "value": True}]}
    summary = real.run(real.request(change=change))  # type: ignore[arg-type]
    assert summary.counts.by_state == {ItemState.APPLIED: NUMBER}
    again = real.take_up(first)
    assert again.state is RunState.FINISHED
    assert not again.counts.of(ItemState.UNKNOWN, ItemState.CONFLICT, ItemState.FAILED)
    assert all(state.metadata["second"] is True for state in real.standing().values())


def test_an_execution_that_was_taken_over_stops_writing(real: RealRig) -> None:
    """It is halted between intent and writes, outlives its lease, and wakes up later."""
    real.fill(NUMBER)
    real.read_timeout = 1.0
    request = real.request()
    job = Job(
        request,
        real.surroundings().model_copy(update={"connect_timeout": 0.5}),
        at=Point.INTENDED,
        passing=1,
        signal_number=signal.SIGSTOP,
        lease_margin=1.0,
    )
    with child(job) as halted:
        assert halted.pid is not None
        pid = halted.pid
        _until(lambda: _halted(pid), "the halt")
        summary = real.run(request)
        assert summary.state is RunState.FINISHED
        _written_once(real, request)
        os.kill(pid, signal.SIGCONT)
        assert exit_code(halted) in {1, 3}
    _written_once(real, request)
    assert real.states(request)[ItemState.APPLIED] == len(written(NUMBER))


def test_an_execution_declared_dead_writes_no_more(rig: Rig) -> None:
    """The epoch alone stops it: its heartbeat has not noticed."""
    rig.fill(40)
    request = rig.request(concurrency=2)
    applied: list[int] = []
    lock = threading.Lock()

    def take_over(point: Point) -> None:
        if point is not Point.ANSWERED:
            return
        with lock, open_ledger(rig.ledger_url) as ledger:
            if not applied:
                (one,) = ledger.executions(request.run_id, living=True)
                ledger.declare_dead(one.execution_id)
                applied.append(ledger.counts(request.run_id).of(ItemState.APPLIED))

    rig.hook = take_over
    with rig.session(request) as session:
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        assert session.stopping is StopReason.CANNOT_PROCEED
        sent = len(rig.fake.writes)
        assert sent <= 8, "one window at most"
    with open_ledger(rig.ledger_url) as ledger:
        assert [ledger.counts(request.run_id).of(ItemState.APPLIED)] == applied
    rig.hook = lambda _point: None
    assert rig.take_up(request.run_id).counts.by_state == {ItemState.APPLIED: 40}
    assert len(rig.fake.writes) == 40


@pytest.mark.parametrize("on_lease", list(OnLease))
def test_two_runs_on_overlapping_datasets(rig: Rig, on_lease: OnLease) -> None:
    """One holds D0010…D0029 halfway; the other wants D0000…D0019."""
    rig.fill(30)
    wants = Selection(ids=tuple(f"D{n:04}" for n in range(20)))
    holds = Selection(ids=tuple(f"D{n:04}" for n in range(10, 30)))
    first = rig.request(selection=holds, shard_size=50)
    second = rig.request(
        selection=wants,
        shard_size=50,
        on_lease=on_lease,
        change={"steps": [{"set": "second", "value": 1}]},
    )
    owned, go_on = threading.Event(), threading.Event()

    def pause(point: Point) -> None:
        if point is Point.OWNED:
            owned.set()
            assert go_on.wait(60)

    holder = Rig(rig.folder, rig.fake, hook=pause)
    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(holder.run, first)
        assert owned.wait(60)
        try:
            other = pool.submit(rig.run, second)
            if on_lease is OnLease.REFUSE:
                _refused(rig, first.run_id, other.result(60))
            else:
                wait([other], 1.0)
                assert not other.done(), "it did not wait"
                assert rig.fake.writes == [], "it wrote while it waited"
        finally:
            go_on.set()
        assert holding.result(60).counts.by_state == {ItemState.APPLIED: 20}
        if on_lease is OnLease.WAIT:
            assert other.result(60).counts.by_state == {ItemState.APPLIED: 20}


def _refused(rig: Rig, holder: str, summary: RunSummary) -> None:
    assert summary.counts.by_state == {ItemState.APPLIED: 10, ItemState.FAILED: 10}
    refused = [row for row in rig.items(summary.run_id) if row.state is ItemState.FAILED]
    assert [row.dataset_id for row in refused] == [f"D{n:04}" for n in range(10, 20)]
    assert all(holder in row.reasons[0] for row in refused)


def test_runs_that_cross_do_not_wait_for_each_other(rig: Rig) -> None:
    """Both want the same datasets, in opposite orders, over several shards."""
    rig.fill(40)
    names = [f"D{n:04}" for n in range(40)]
    requests = [
        rig.request(
            selection=Selection(ids=tuple(order)),
            shard_size=8,
            on_lease=OnLease.WAIT,
            change={"steps": [{"set": f"by{number}", "value": True}]},
        )
        for number, order in enumerate((names, names[::-1]))
    ]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(rig.run, requests))
    assert [s.counts.by_state for s in found] == [{ItemState.APPLIED: 40}] * 2
    for name in names:
        metadata = rig.fake.metadata(rig.fake.dataset(name))  # type: ignore[arg-type]
        assert metadata["by0"] is metadata["by1"] is True


def test_leases_do_not_cross_catalogs(tmp_path: Path) -> None:
    """Dataset D0000 of another atlas is another dataset."""
    here, there = (Rig(tmp_path, FakeCatalog(atlas)) for atlas in ("9", "10"))
    here.fill(5)
    there.fill(5)
    meanwhile: list[RunSummary] = []

    def run_the_other(point: Point) -> None:
        if point is Point.OWNED:
            request = there.request().model_copy(update={"atlas_id": "10"})
            meanwhile.append(there.run(request))

    here.hook = run_the_other
    assert here.run(here.request()).counts.by_state == {ItemState.APPLIED: 5}
    assert [one.counts.by_state for one in meanwhile] == [{ItemState.APPLIED: 5}]


def test_short_leases_are_what_they_say(rig: Rig) -> None:
    """The helper of these tests really shortens a lease."""
    rig.fill(1)
    request = rig.request()
    with short_leases(1.0), rig.session(request):
        with open_ledger(rig.ledger_url) as ledger:
            (one,) = ledger.executions(request.run_id)
        assert (one.expires_at - one.started_at).total_seconds() == pytest.approx(2.8)


def test_open_session_is_what_children_use(real: RealRig) -> None:
    """A child's exit code is its summary's."""
    real.fill(3)
    request = real.request()
    assert run_child(Job(request, real.surroundings())) == 0
    with open_session(request, real.surroundings()) as session:
        assert session.finished
