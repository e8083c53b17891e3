"""Requests that the network delivers late, on a service that enforces nothing and on one that does.

The one exception to *once*: without preconditions, a request that arrives after it was settled as
lost is written beside ours. It is a conflict then, reported, never silent.
"""

import threading

import pytest

from polly_core.engine.points import Point
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.run import ItemState, RunState, RunSummary, StopReason
from polly_core.testing.faults import Fault
from tests.engine.rig import Rig, at_passing

LATE = DatasetId("D0000")


def _versions(rig: Rig) -> int:
    return len(rig.fake.versions(LATE))


def _late_run(rig: Rig, *, deliver_at: Point, passing: int) -> RunSummary:
    """One dataset whose first write is late and delivered at a point."""
    rig.fill(1)
    rig.fake.fail_write(Fault.LATE, LATE)
    rig.hook = at_passing(deliver_at, passing, rig.fake.deliver_late)
    return rig.run(rig.request())


def test_delivered_between_the_two_reads_it_is_found(hosted: Rig) -> None:
    hosted.fill(1)
    hosted.fake.fail_write(Fault.LATE, LATE)
    timer = threading.Timer(0.7, hosted.fake.deliver_late)
    hosted.hook = at_passing(Point.SENDING, 1, timer.start)
    summary = hosted.run(hosted.request())
    timer.join()
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    assert len(hosted.fake.writes) == 1
    (row,) = hosted.items(summary.run_id)
    assert row.inferred, "nothing but its content says that it is ours"
    assert _versions(hosted) == 2


def test_delivered_before_the_second_write_it_is_a_conflict(hosted: Rig) -> None:
    summary = _late_run(hosted, deliver_at=Point.SENDING, passing=2)
    assert _versions(hosted) == 3
    assert summary.counts.by_state == {ItemState.CONFLICT: 1}
    assert summary.exit_code == 1
    (row,) = hosted.items(summary.run_id)
    history = [version.version_id for version in hosted.fake.versions(LATE)]
    assert row.version_after == history[0]
    assert history[1] in row.reasons[0]


def test_delivered_after_the_second_write_it_is_a_conflict(hosted: Rig) -> None:
    summary = _late_run(hosted, deliver_at=Point.ANSWERED, passing=1)
    assert _versions(hosted) == 3
    assert summary.counts.by_state == {ItemState.CONFLICT: 1}
    (row,) = hosted.items(summary.run_id)
    assert hosted.fake.versions(LATE)[0].version_id in row.reasons[0]


@pytest.mark.parametrize(("point", "passing"), [(Point.SENDING, 2), (Point.ANSWERED, 1)])
def test_with_preconditions_it_is_written_once(rig: Rig, point: Point, passing: int) -> None:
    summary = _late_run(rig, deliver_at=point, passing=passing)
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    assert _versions(rig) == 2
    (row,) = rig.items(summary.run_id)
    assert row.version_after == rig.fake.dataset(LATE).version_id
    assert [one.version_id for one in rig.fake.ingestions(summary.run_id)] == [row.version_after]


@pytest.mark.parametrize("which", ["rig", "hosted"])
def test_delivered_while_the_run_was_stopped_it_is_found_at_resume(
    which: str, request: pytest.FixtureRequest
) -> None:
    rig: Rig = request.getfixturevalue(which)
    rig.fill(4)
    rig.fake.fail_write(Fault.LATE)
    asked = rig.request(concurrency=1)
    with rig.session(asked) as session:
        rig.hook = at_passing(
            Point.SENDING, 1, lambda: session.stop(StopReason.INTERRUPTED, "asked to stop")
        )
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        stopped = session.finish()
    assert stopped.state is RunState.STOPPED
    assert stopped.exit_code == 130
    late = rig.fake.writes[0].dataset_id
    assert rig.state_of(asked.run_id, late) is ItemState.UNKNOWN
    assert rig.fake.deliver_late() == 1
    summary = rig.take_up(asked.run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 4}
    assert len(rig.fake.writes) == 4
    assert len(rig.fake.versions(late)) == 2


def test_a_foreign_edit_with_other_content_is_never_taken_for_ours(hosted: Rig) -> None:
    """The answer is lost, the write did not happen, and someone else wrote meanwhile."""
    hosted.fill(1)
    hosted.fake.fail_write(Fault.LOST_REQUEST, LATE)
    hosted.fake.edit_before_write(LATE, DatasetChange(metadata={"mine": 1}))
    summary = hosted.run(hosted.request())
    assert summary.counts.by_state == {ItemState.DRIFTED: 1}
    assert hosted.fake.metadata(hosted.fake.dataset(LATE)) == {"mine": 1}
    assert _versions(hosted) == 2
