"""Moves between studies: no version is made, and nobody else's move is undone in silence."""

import pytest

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetChange, DatasetId, StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault
from tests.engine.rig import Rig

TO_S2: JsonObject = {"study_id": "S2"}


def _fill(rig: Rig) -> None:
    for number, study in enumerate(["S1", "S2", None, "S1"]):
        rig.fake.add(f"D{number}", {"n": number}, study_id=study)


def _studies(rig: Rig) -> list[str | None]:
    return [rig.fake.dataset(DatasetId(f"D{n}")).study_id for n in range(4)]


def _move(rig: Rig, change: JsonObject, **given: object) -> dict[ItemState, int]:
    request = rig.request(operation=OperationName.STUDY, change=change, **given)  # type: ignore[arg-type]
    return dict(rig.run(request).counts.by_state)


def test_all_go_into_a_study_and_those_in_it_stay(either: Rig) -> None:
    _fill(either)
    assert _move(either, TO_S2) == {ItemState.APPLIED: 3, ItemState.UNCHANGED: 1}
    assert _studies(either) == ["S2"] * 4
    assert all(len(either.fake.versions(DatasetId(f"D{n}"))) == 1 for n in range(4))
    sent = len(either.fake.writes)
    assert _move(either, TO_S2) == {ItemState.UNCHANGED: 4}
    assert len(either.fake.writes) == sent


def test_all_leave_their_study(either: Rig) -> None:
    _fill(either)
    assert _move(either, {"leave": True}) == {ItemState.APPLIED: 3, ItemState.UNCHANGED: 1}
    assert _studies(either) == [None] * 4


def test_a_manifest_says_it_for_each(either: Rig) -> None:
    _fill(either)
    manifest = either.folder / "m.csv"
    manifest.write_text("dataset_id,study_id\nD0,S9\nD1,<null>\nD2,\nD3,a study\n")
    request = either.request(
        operation=OperationName.STUDY,
        change={},
        selection=Selection(manifest_uri=str(manifest)),
    )
    summary = either.run(request)
    assert summary.counts.by_state == {ItemState.APPLIED: 2, ItemState.INVALID: 2}
    assert _studies(either) == ["S9", None, None, "S1"]
    reasons = {row.dataset_id: " ".join(row.reasons) for row in either.items(request.run_id)}
    assert "study_id" in reasons[DatasetId("D2")]
    assert "a_study" in reasons[DatasetId("D3")]


def test_a_run_that_names_no_study_is_refused(rig: Rig) -> None:
    _fill(rig)
    with pytest.raises(InvalidInput, match="no study is named"):
        rig.run(rig.request(operation=OperationName.STUDY, change={}))
    with pytest.raises(InvalidInput, match="named and left at once"):
        _move(rig, {"study_id": "S", "leave": True})


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_on_one_move_costs_nothing(either: Rig, fault: Fault) -> None:
    _fill(either)
    either.fake.fail_write(fault, "D2", retry_after=0.1)
    assert _move(either, TO_S2) == {ItemState.APPLIED: 3, ItemState.UNCHANGED: 1}
    assert _studies(either) == ["S2"] * 4


def test_a_move_by_someone_else_after_planning_is_left_alone(either: Rig) -> None:
    _fill(either)
    request = either.request(operation=OperationName.STUDY, change=TO_S2, barrier=True)
    with either.session(request) as session:
        session.freeze()
        session.plan()
        either.fake.edit("D0", DatasetChange(study_id=StudyId("S7")))
        for shard in session.open_shards():
            session.run_shard(shard)
        session.finish()
    assert either.state_of(request.run_id, "D0") is ItemState.DRIFTED
    assert _studies(either) == ["S7", "S2", "S2", "S2"]


def test_a_move_by_someone_else_is_not_taken_for_a_lost_request(either: Rig) -> None:
    """Ours was lost, and meanwhile somebody moved it elsewhere: theirs stays."""
    _fill(either)
    either.fake.fail_write(Fault.LOST_REQUEST, "D0")
    either.fake.before_write(
        "D0", lambda: either.fake.edit("D0", DatasetChange(study_id=StudyId("S7")))
    )
    request = either.request(operation=OperationName.STUDY, change=TO_S2)
    either.run(request)
    assert either.state_of(request.run_id, "D0") is ItemState.DRIFTED
    assert _studies(either)[0] == "S7"
