"""What the network and other people do to a run."""

import pytest

from polly_core.errors import Unauthorized
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, RunState, StopReason
from polly_core.testing.faults import Fault
from tests.engine.rig import Rig

BOTH = pytest.mark.parametrize("which", ["rig", "hosted"])


def _rig(which: str, request: pytest.FixtureRequest) -> Rig:
    rig: Rig = request.getfixturevalue(which)
    return rig


def _versions(rig: Rig, number: int) -> list[int]:
    return [len(rig.fake.versions(DatasetId(f"D{n:04}"))) for n in range(number)]


@BOTH
@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_on_one_write_costs_nothing(
    which: str, fault: Fault, request: pytest.FixtureRequest
) -> None:
    rig = _rig(which, request)
    rig.fill(10)
    rig.fake.fail_write(fault, "D0003", retry_after=0.1)
    summary = rig.run(rig.request())
    assert summary.counts.by_state == {ItemState.APPLIED: 10}
    assert _versions(rig, 10) == [2] * 10


@BOTH
def test_answers_lost_at_random_are_settled_not_repeated(
    which: str, request: pytest.FixtureRequest
) -> None:
    rig = _rig(which, request)
    rig.fill(60)
    for number in range(0, 60, 7):
        rig.fake.fail_write(Fault.LOST_ANSWER, f"D{number:04}")
    summary = rig.run(rig.request())
    assert summary.counts.by_state == {ItemState.APPLIED: 60}
    assert _versions(rig, 60) == [2] * 60
    assert len(rig.fake.writes) == 60


def test_a_lost_request_is_sent_again_after_two_reads(hosted: Rig) -> None:
    hosted.fill(3)
    hosted.fake.fail_write(Fault.LOST_REQUEST, "D0001")
    summary = hosted.run(hosted.request())
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    assert len(hosted.fake.writes) == 4


def test_an_edit_between_plan_and_write_is_left_alone(rig: Rig) -> None:
    rig.fill(5)
    rig.fake.edit_before_write("D0002", DatasetChange(metadata={"mine": 1}))
    summary = rig.run(rig.request())
    assert summary.counts.by_state == {ItemState.APPLIED: 4, ItemState.DRIFTED: 1}
    assert rig.fake.metadata(rig.fake.dataset(DatasetId("D0002"))) == {"mine": 1}


def test_without_preconditions_an_edit_in_between_is_a_conflict_with_both_ids(
    hosted: Rig,
) -> None:
    hosted.fill(5)
    hosted.fake.edit_before_write("D0002", DatasetChange(metadata={"mine": 1}))
    summary = hosted.run(hosted.request())
    assert summary.counts.by_state == {ItemState.APPLIED: 4, ItemState.CONFLICT: 1}
    history = hosted.fake.versions(DatasetId("D0002"))
    row = next(row for row in hosted.items(summary.run_id) if row.dataset_id == "D0002")
    assert row.version_after == history[0].version_id
    assert history[1].version_id in row.reasons[0]


def test_a_later_edit_is_no_conflict(hosted: Rig) -> None:
    hosted.fill(5)
    hosted.fake.edit_after_write("D0002", DatasetChange(metadata={"later": 1}))
    summary = hosted.run(hosted.request())
    assert summary.counts.by_state == {ItemState.APPLIED: 5}
    assert summary.counts.verified == 5


def test_a_refused_key_stops_the_run_and_burns_no_item(rig: Rig) -> None:
    rig.fill(30)
    rig.fake.fail_read(Unauthorized("Unauthorized", status=401), "D0015")
    summary = rig.run(rig.request())
    assert summary.state is RunState.STOPPED
    assert summary.stop is StopReason.CANNOT_PROCEED
    assert summary.exit_code == 3
    assert summary.counts.not_well == 0
    again = rig.take_up(summary.run_id)
    assert again.counts.by_state == {ItemState.APPLIED: 30}
    assert _versions(rig, 30) == [2] * 30


def test_a_lock_that_outlasts_patience_stops_the_run_resumable(rig: Rig) -> None:
    rig.fill(10)
    rig.fake.fail_write(Fault.LOCKED, times=1000)
    summary = rig.run(rig.request(patience=1.0))
    assert summary.stop is StopReason.CANNOT_PROCEED
    assert "Locked" in summary.message
    assert summary.counts.by_state == {ItemState.PLANNED: 10}


def test_budget_stops_the_run(rig: Rig) -> None:
    rig.fill(60)
    change: JsonObject = {"steps": [{"rename": "absent", "to": "present"}]}
    summary = rig.run(rig.request(change=change, budget={"value": 5}))
    assert summary.stop is StopReason.BUDGET
    assert summary.exit_code == 4
    assert rig.fake.writes == []
