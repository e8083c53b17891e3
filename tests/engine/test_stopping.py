"""Stopping a run: nothing new is sent, what is in flight is recorded, the rest stays planned."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polly_core.engine.points import Point
from polly_core.errors import BadRequest
from polly_core.models.catalog import DatasetId
from polly_core.models.run import ItemState, RunState, RunSummary, StopReason
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import Fault
from tests.engine.rig import Rig, at_passing

NUMBER = 40


@contextmanager
def _hanging(rig: Rig, passing: int) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The n-th write hangs after its last check, until it is let go."""
    hangs, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        assert go_on.wait(60)

    rig.hook = at_passing(Point.SENDING, passing, hang)
    try:
        yield hangs, go_on
    finally:
        go_on.set()
        rig.hook = lambda _point: None


def _stopped_run(rig: Rig, hangs: threading.Event, go_on: threading.Event | None) -> RunSummary:
    """Stop a run while a write hangs; let it answer within the grace time, or never."""
    request = rig.request(concurrency=4, shard_size=NUMBER)
    with rig.session(request) as session:
        session.freeze()
        shards = session.open_shards()

        def stop() -> None:
            assert hangs.wait(60)
            session.stop(StopReason.INTERRUPTED, "asked to stop")
            if go_on is not None:
                go_on.set()

        stopper = threading.Thread(target=stop)
        stopper.start()
        for shard in shards:
            session.run_shard(shard)
        stopper.join(60)
        assert session.stopping is StopReason.INTERRUPTED
        return session.finish()


def _once(rig: Rig) -> None:
    assert [len(rig.fake.versions(DatasetId(f"D{n:04}"))) for n in range(NUMBER)] == [2] * NUMBER


def test_what_is_in_flight_is_recorded(rig: Rig) -> None:
    rig.fill(NUMBER)
    with _hanging(rig, 10) as (hangs, go_on):
        summary = _stopped_run(rig, hangs, go_on)
    sent = len(rig.fake.writes)
    assert summary.state is RunState.STOPPED
    assert summary.exit_code == 130
    assert 10 <= sent < NUMBER
    assert summary.counts.by_state == {
        ItemState.APPLIED: sent,
        ItemState.PLANNED: NUMBER - sent,
    }
    assert rig.take_up(summary.run_id).counts.by_state == {ItemState.APPLIED: NUMBER}
    assert len(rig.fake.writes) == NUMBER
    _once(rig)


@pytest.mark.parametrize("which", ["rig", "hosted"])
def test_what_does_not_answer_in_time_is_unknown_and_settled_at_resume(
    which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polly_core.engine.stop.GRACE_SECONDS", 0.3)
    rig: Rig = request.getfixturevalue(which)
    rig.fill(NUMBER)
    with _hanging(rig, 10) as (hangs, go_on):
        summary = _stopped_run(rig, hangs, None)
        assert summary.counts.of(ItemState.UNKNOWN) == 1
        assert summary.counts.of(ItemState.SENT) == 0, "nothing is left in between"
        before = len(rig.fake.writes)
        go_on.set()
        # The request arrives after all, when nobody waits for it any more.
        while len(rig.fake.writes) == before:
            pass
    rig.hook = lambda _point: None
    again = rig.take_up(summary.run_id)
    assert again.counts.by_state == {ItemState.APPLIED: NUMBER}
    assert len(rig.fake.writes) == NUMBER
    _once(rig)


def test_no_new_write_after_the_stop(tmp_path: Path) -> None:
    """Not one begins once the stop was asked for, however many are queued."""
    late: list[DatasetId] = []
    stopped = threading.Event()

    def watch(dataset_id: DatasetId, _number: int) -> Fault | None:
        if stopped.is_set():
            late.append(dataset_id)
        return None

    rig = Rig(tmp_path, FakeCatalog("9", choose_fault=watch))
    rig.fill(NUMBER)
    request = rig.request(concurrency=1)
    with rig.session(request) as session:

        def stop() -> None:
            session.stop(StopReason.CANCELLED)
            stopped.set()

        rig.hook = at_passing(Point.ANSWERED, 5, stop)
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
    assert late == []
    assert summary.counts.of(ItemState.APPLIED) == 5 == len(rig.fake.writes)
    assert rig.take_up(request.run_id).counts.by_state == {ItemState.APPLIED: NUMBER}


@pytest.mark.parametrize("point", [Point.OWNED, Point.READ, Point.PLANNED, Point.INTENDED])
def test_stopped_before_anything_was_sent(rig: Rig, point: Point) -> None:
    rig.fill(NUMBER)
    request = rig.request()
    with rig.session(request) as session:
        rig.hook = at_passing(point, 1, lambda: session.stop(StopReason.INTERRUPTED))
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
    rig.hook = lambda _point: None
    assert rig.fake.writes == []
    assert summary.counts.not_processed == NUMBER
    assert summary.counts.of(ItemState.SENT, ItemState.UNKNOWN) == 0
    assert rig.take_up(request.run_id).counts.by_state == {ItemState.APPLIED: NUMBER}
    _once(rig)


def test_stopped_while_planning_behind_the_barrier(rig: Rig) -> None:
    rig.fill(NUMBER)
    request = rig.request(barrier=True, shard_size=10)
    with rig.session(request) as session:
        rig.hook = at_passing(Point.PLANNED, 2, lambda: session.stop(StopReason.INTERRUPTED))
        session.freeze()
        assert session.plan() is None
        summary = session.finish()
    assert summary.plan_digest is None
    assert summary.counts.by_state == {ItemState.PLANNED: 20, ItemState.SELECTED: 20}
    rig.hook = lambda _point: None
    resumed = rig.run(request)
    assert resumed.plan_digest is not None
    assert resumed.counts.by_state == {ItemState.APPLIED: NUMBER}


def test_stopped_while_settling(hosted: Rig) -> None:
    """A lost answer waits for its second read when the stop comes: it stays unknown."""
    hosted.fill(3)
    hosted.read_timeout = 5.0
    hosted.fake.fail_write(Fault.LOST_REQUEST, "D0001")
    request = hosted.request()
    with hosted.session(request) as session:
        timer = threading.Timer(1.0, session.stop, [StopReason.INTERRUPTED])
        hosted.hook = at_passing(Point.SENDING, 1, timer.start)
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
        timer.join()
    assert summary.counts.of(ItemState.UNKNOWN) == 1
    assert hosted.state_of(request.run_id, "D0001") is ItemState.UNKNOWN
    hosted.read_timeout = 0.2
    hosted.hook = lambda _point: None
    assert hosted.take_up(request.run_id).counts.by_state == {ItemState.APPLIED: 3}
    assert len(hosted.fake.writes) == 4


def test_stopped_before_the_verification(hosted: Rig) -> None:
    """Written, not verified: the run is not finished, and a resume only reads."""
    hosted.fill(NUMBER)
    request = hosted.request(shard_size=NUMBER)
    with hosted.session(request) as session:
        hosted.hook = at_passing(Point.RECORDED, 2, lambda: session.stop(StopReason.INTERRUPTED))
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
    applied = summary.counts.of(ItemState.APPLIED)
    assert applied > summary.counts.verified
    assert summary.state is RunState.STOPPED
    hosted.hook = lambda _point: None
    again = hosted.take_up(request.run_id)
    assert again.counts.by_state == {ItemState.APPLIED: NUMBER}
    assert again.counts.verified == NUMBER
    assert len(hosted.fake.writes) == NUMBER


def test_all_written_but_not_verified_is_not_finished(hosted: Rig) -> None:
    hosted.fill(8)
    request = hosted.request(shard_size=8)
    go_on = threading.Event()
    with hosted.session(request) as session:

        def hang(point: Point) -> None:
            if point is Point.VERIFYING:
                session.stop(StopReason.INTERRUPTED)
                assert go_on.wait(60)

        hosted.hook = hang
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
        go_on.set()
    assert summary.counts.by_state == {ItemState.APPLIED: 8}
    assert summary.counts.verified == 0
    assert summary.state is RunState.STOPPED
    hosted.hook = lambda _point: None
    assert hosted.take_up(request.run_id).counts.verified == 8


def test_what_could_not_be_verified_is_verified_by_a_resume(hosted: Rig) -> None:
    """A run whose promise was not checked everywhere has not ended."""
    hosted.fill(8)
    request = hosted.request(shard_size=8)
    broken = BadRequest("Bad Request", "as scripted", status=400)
    hosted.hook = at_passing(Point.RECORDED, 1, lambda: hosted.fake.fail_read(broken, times=1))
    summary = hosted.run(request)
    assert summary.counts.by_state == {ItemState.APPLIED: 8}
    assert summary.counts.verified == 7
    assert summary.exit_code != 0, "it claims that everything is well"
    hosted.hook = lambda _point: None
    again = hosted.take_up(request.run_id)
    assert again.counts.verified == 8
    assert again.exit_code == 0
    assert len(hosted.fake.writes) == 8
