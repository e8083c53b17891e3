"""Undo: what a run did goes back, what others did since stays, both at once are for a person."""

import pytest

from polly_core.engine.builders.base import described
from polly_core.errors import InvalidInput, RunBusy
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import UndoSpec
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault
from tests.engine.rig import Rig

CHANGE: JsonObject = {
    "steps": [
        {"set": "organism", "value": "Homo sapiens"},
        {"unset": "n"},
        {"set": "reviewed", "value": True},
        {"set": "@data_type", "value": "Proteomics"},
    ]
}
BEFORE = {"organism": "human", "n": 0}


def _metadata(rig: Rig, dataset_id: str = "D0000") -> JsonObject:
    return rig.fake.metadata(rig.fake.dataset(DatasetId(dataset_id)))


def _undo(rig: Rig, run_id: str, **how: object) -> RunSummary:
    change: JsonObject = {"run_id": run_id, **how}  # type: ignore[dict-item]
    request = rig.request(
        operation=OperationName.UNDO,
        change=change,
        selection=Selection(written_by=run_id),
        barrier=True,
    )
    return rig.run(request)


def _reasons(rig: Rig, run_id: str) -> dict[str, tuple[str, ...]]:
    return {row.dataset_id: row.reasons for row in rig.items(run_id) if row.reasons}


def test_every_dataset_is_as_it_was(either: Rig) -> None:
    either.fill(30)
    before = [_metadata(either, f"D{n:04}") for n in range(30)]
    done = either.run(either.request(change=CHANGE))
    undone = _undo(either, done.run_id)
    assert undone.counts.by_state == {ItemState.APPLIED: 30}
    assert [_metadata(either, f"D{n:04}") for n in range(30)] == before
    assert either.fake.dataset(DatasetId("D0000")).data_type == "Bulk RNAseq"
    with open_ledger(either.ledger_url) as ledger:
        assert [run.run_id for run in ledger.runs_of_origin(done.run_id)] == [undone.run_id]


def test_an_undo_is_undone(either: Rig) -> None:
    either.fill(3)
    done = either.run(either.request(change=CHANGE))
    ours = _metadata(either)
    undone = _undo(either, done.run_id)
    assert _metadata(either) == BEFORE
    assert _undo(either, undone.run_id).counts.by_state == {ItemState.APPLIED: 3}
    assert _metadata(either) == ours


def test_a_second_undo_writes_nothing(either: Rig) -> None:
    either.fill(4)
    done = either.run(either.request(change=CHANGE))
    _undo(either, done.run_id)
    written = len(either.fake.writes)
    assert _undo(either, done.run_id).counts.by_state == {ItemState.UNCHANGED: 4}
    assert len(either.fake.writes) == written


def test_what_others_changed_elsewhere_stays(either: Rig) -> None:
    either.fill(2)
    done = either.run(either.request(change=CHANGE))
    theirs = {**_metadata(either), "curator": "somebody", "reviewed": True}
    either.fake.edit("D0000", DatasetChange(metadata=theirs))
    assert _undo(either, done.run_id).counts.by_state == {ItemState.APPLIED: 2}
    assert _metadata(either) == {**BEFORE, "curator": "somebody"}


def test_where_others_changed_the_same_the_dataset_is_left_alone(either: Rig) -> None:
    either.fill(2)
    done = either.run(either.request(change=CHANGE))
    theirs = {**_metadata(either), "organism": "Mus musculus"}
    either.fake.edit("D0000", DatasetChange(metadata=theirs))
    undone = _undo(either, done.run_id)
    assert undone.counts.by_state == {ItemState.APPLIED: 1, ItemState.INVALID: 1}
    assert _metadata(either) == theirs
    (reason,) = _reasons(either, undone.run_id)["D0000"]
    assert reason.startswith("needs a decision: field organism: was")
    assert 'found "Mus musculus"' in reason
    # The other fields can be undone all the same.
    again = _undo(either, done.run_id, fields=["n", "reviewed"])
    assert again.counts.of(ItemState.APPLIED) == 1
    assert _metadata(either) == {"organism": "Mus musculus", "n": 0}


def test_only_chosen_datasets_and_fields(either: Rig) -> None:
    either.fill(3)
    done = either.run(either.request(change=CHANGE))
    undone = _undo(either, done.run_id, dataset_ids=["D0001"], fields=["organism"])
    assert undone.counts.by_state == {ItemState.APPLIED: 1}
    assert _metadata(either, "D0001") == {"organism": "human", "reviewed": True}
    assert either.fake.dataset(DatasetId("D0001")).data_type == "Proteomics"
    assert "n" not in _metadata(either, "D0000")


def test_what_somebody_put_back_already_needs_nothing(either: Rig) -> None:
    either.fill(1)
    done = either.run(either.request(change=CHANGE))
    either.fake.edit("D0000", DatasetChange(metadata=BEFORE, data_type="Bulk RNAseq"))
    assert _undo(either, done.run_id).counts.by_state == {ItemState.UNCHANGED: 1}


def test_what_someone_deleted_since_stays_deleted(either: Rig) -> None:
    either.fill(1)
    done = either.run(either.request(change=CHANGE))
    either.fake.remove("D0000")
    undone = _undo(either, done.run_id)
    assert undone.counts.by_state == {ItemState.INVALID: 1}
    assert "someone has deleted it" in _reasons(either, undone.run_id)["D0000"][0]


def test_a_deletion_is_undone_with_study_and_files(either: Rig) -> None:
    record = either.fake.add("D0000", {"n": 1}, study_id="S1")
    either.fake.add_file("D0000", "a.txt", tag="raw")
    linked = either.fake.add_file("D0000", "b.csv", linked=True)
    done = either.run(either.request(operation=OperationName.DELETE, change={}))
    assert _undo(either, done.run_id).counts.by_state == {ItemState.APPLIED: 1}
    back = either.fake.dataset(DatasetId("D0000"))
    assert either.fake.metadata(back) == {"n": 1}
    assert (back.study_id, back.data_location) == ("S1", record.data_location)
    files = {file.file_name: file for file in either.fake.files(DatasetId("D0000"))}
    assert files["a.txt"].tag == "raw"
    assert files["a.txt"].derived_from is None
    assert files["b.csv"].file_location == linked.file_location
    assert files["b.csv"].derived_from == record.data_location


def test_what_lives_again_is_not_touched(either: Rig) -> None:
    either.fill(1)
    done = either.run(either.request(operation=OperationName.DELETE, change={}))
    either.fake.add("D0000", {"new": True})
    undone = _undo(either, done.run_id)
    assert undone.counts.by_state == {ItemState.INVALID: 1}
    assert _metadata(either) == {"new": True}


def test_a_lost_object_is_taken_from_the_saved_bytes(either: Rig) -> None:
    either.fill(1)
    file = either.fake.add_file("D0000", "a.txt", content=b"precious")
    request = either.request(operation=OperationName.DELETE, change={"save_bytes": True})
    done = either.run(request)
    either.fake.objects.lose(file.file_location)
    assert _undo(either, done.run_id).counts.by_state == {ItemState.APPLIED: 1}
    (back,) = either.fake.files(DatasetId("D0000"))
    assert back.file_location != file.file_location
    assert either.fake.stat(back.file_location).size == len(b"precious")


def test_a_study_goes_back_unless_others_moved_it(either: Rig) -> None:
    for name in ("D0000", "D0001"):
        either.fake.add(name, {"n": 1}, study_id="S1")
    change: JsonObject = {"study_id": "S2"}
    done = either.run(either.request(operation=OperationName.STUDY, change=change))
    either.fake.edit("D0001", DatasetChange(study_id="S3"))
    undone = _undo(either, done.run_id)
    assert undone.counts.by_state == {ItemState.APPLIED: 1, ItemState.INVALID: 1}
    studies = [either.fake.dataset(DatasetId(name)).study_id for name in ("D0000", "D0001")]
    assert studies == ["S1", "S3"]


def test_an_ingestion_stays(either: Rig) -> None:
    either.fill(1)
    done = either.run(either.request(operation=OperationName.INGEST, change={}))
    undone = _undo(either, done.run_id)
    assert undone.counts.by_state == {ItemState.SKIPPED: 1}
    assert undone.exit_code == 0


def test_what_is_not_known_to_have_happened_is_not_undone(hosted: Rig) -> None:
    hosted.fill(1)
    hosted.fake.fail_write(Fault.LOST_ANSWER, "D0000")
    done = hosted.run(hosted.request(operation=OperationName.INGEST, change={}))
    assert done.counts.by_state == {ItemState.UNKNOWN: 1}
    undone = _undo(hosted, done.run_id)
    assert undone.counts.by_state == {ItemState.INVALID: 1}
    assert "resume the run first" in _reasons(hosted, undone.run_id)["D0000"][0]


def test_a_run_that_is_executed_is_not_undone(rig: Rig) -> None:
    rig.fill(1)
    request = rig.request()
    with rig.session(request) as session:
        session.freeze()
        with pytest.raises(RunBusy, match="polly-bulk cancel"):
            _undo(rig, request.run_id)


def test_an_undo_of_a_run_that_is_not_there(rig: Rig) -> None:
    with pytest.raises(InvalidInput, match="no run"):
        _undo(rig, "0b8f6d2e-0c4e-4a53-9f6e-2f1f2f3a4b5c")
    with pytest.raises(InvalidInput, match="run_id"):
        described(UndoSpec, {})


def test_a_foreign_edit_between_plan_and_write_is_kept(either: Rig) -> None:
    either.fill(1)
    done = either.run(either.request(change=CHANGE))
    either.fake.edit_before_write("D0000", DatasetChange(metadata={"theirs": 1}))
    undone = _undo(either, done.run_id)
    if either.fake.capabilities.expects_version:
        assert undone.counts.by_state == {ItemState.DRIFTED: 1}
        assert _metadata(either) == {"theirs": 1}
    else:
        assert undone.counts.by_state == {ItemState.CONFLICT: 1}
