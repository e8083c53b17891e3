"""Deletion: what is lost is kept in the plan, checked, and saved where that is asked for."""

import hashlib
from pathlib import Path

import pytest

from polly_core.errors import CannotProceed, NotFound, StorageUnavailable
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, Planned, StopReason
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault, WriteKind
from tests.engine.rig import Rig

SAVING: JsonObject = {"save_bytes": True}
D0 = DatasetId("D0000")


def _row(rig: Rig, run_id: str, dataset_id: str = "D0000") -> ItemRow:
    return next(row for row in rig.items(run_id) if row.dataset_id == dataset_id)


def _planned(rig: Rig, run_id: str) -> Planned:
    planned = _row(rig, run_id).planned
    assert planned is not None
    return planned


def _gone(rig: Rig, dataset_id: str) -> bool:
    try:
        rig.fake.dataset(DatasetId(dataset_id))
    except NotFound:
        return True
    return False


def test_files_and_study_stand_in_the_plan(either: Rig) -> None:
    either.fake.add("D0000", {"n": 1}, study_id="S1")
    first = either.fake.add_file("D0000", "a.txt", tag="raw")
    linked = either.fake.add_file("D0000", "b.csv", linked=True)
    request = either.request(operation=OperationName.DELETE, change={})
    assert either.run(request).counts.by_state == {ItemState.APPLIED: 1}
    assert _gone(either, "D0000")
    planned = _planned(either, request.run_id)
    assert planned.seen is not None
    assert planned.seen.study_id == "S1"
    kept = [(f.file_name, f.file_location, f.tag, f.linked) for f in planned.files_before]
    assert kept == [
        ("a.txt", first.file_location, "raw", False),
        ("b.csv", linked.file_location, None, True),
    ]
    assert planned.not_recoverable == ()
    assert any("study" in text for text in planned.side_effects)


def test_what_is_gone_already_is_as_wanted_and_what_never_was_is_not(either: Rig) -> None:
    either.fill(3)
    either.fake.remove("D0001")
    request = either.request(
        operation=OperationName.DELETE,
        change={},
        selection=Selection(ids=("D0000", "D0001", "D9999")),
        barrier=True,
    )
    summary = either.run(request)
    assert summary.counts.by_state == {
        ItemState.APPLIED: 1,
        ItemState.UNCHANGED: 1,
        ItemState.INVALID: 1,
    }
    assert either.state_of(request.run_id, "D0001") is ItemState.UNCHANGED
    again = either.run(either.request(operation=OperationName.DELETE, change={}))
    assert again.counts.by_state == {ItemState.APPLIED: 1}, "only what is still listed"


def test_a_file_that_cannot_be_read_is_said_to_be_lost(rig: Rig) -> None:
    rig.fill(1)
    lost = rig.fake.add_file("D0000", "a.txt")
    rig.fake.add_file("D0000", "b.txt")
    rig.fake.objects.lose(lost.file_location)
    request = rig.request(operation=OperationName.DELETE, change=SAVING)
    assert rig.run(request).counts.by_state == {ItemState.APPLIED: 1}
    planned = _planned(rig, request.run_id)
    assert len(planned.not_recoverable) == 1
    assert "'a.txt'" in planned.not_recoverable[0]
    assert planned.saves == ("b.txt",)


def test_bytes_are_saved_before_anything_is_deleted(either: Rig) -> None:
    either.fill(1)
    for name in ("a.txt", "b.txt"):
        either.fake.add_file("D0000", name, content=f"content of {name}".encode())
    standing: list[bool] = []
    saved_in = either.folder / "saved"
    request = either.request(operation=OperationName.DELETE, change=SAVING)
    folder = saved_in / request.run_id / "D0000"
    either.fake.before_write(
        "D0000", lambda: standing.append((folder / "a.txt").exists()), kind=WriteKind.DELETE
    )
    assert either.run(request).counts.by_state == {ItemState.APPLIED: 1}
    assert standing == [True]
    row = _row(either, request.run_id)
    assert [one.step for one in row.done] == ["save:a.txt", "save:b.txt"]
    for one in row.done:
        assert one.location is not None
        content = Path(one.location).read_bytes()
        assert content == f"content of {one.step.removeprefix('save:')}".encode()
        assert one.sha256 == hashlib.sha256(content).hexdigest()
        assert any(one.location in said and one.sha256 in said for said in row.reasons)


def test_what_cannot_be_saved_is_not_deleted(rig: Rig) -> None:
    rig.fill(1)
    rig.fake.add_file("D0000", "a.txt")
    (rig.folder / "saved").write_text("in the way")
    summary = rig.run(rig.request(operation=OperationName.DELETE, change=SAVING))
    assert summary.stop is StopReason.CANNOT_PROCEED
    assert "a.txt" in summary.message
    assert not _gone(rig, "D0000")
    (rig.folder / "saved").unlink()
    assert rig.take_up(summary.run_id).counts.by_state == {ItemState.APPLIED: 1}


def test_a_store_that_is_away_is_waited_for(rig: Rig) -> None:
    rig.fill(2)
    rig.fake.add_file("D0000", "a.txt")
    rig.fake.fail_read(StorageUnavailable("away"), "D0000", times=3)
    summary = rig.run(rig.request(operation=OperationName.DELETE, change=SAVING))
    assert summary.counts.by_state == {ItemState.APPLIED: 2}


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_on_one_deletion_costs_nothing(either: Rig, fault: Fault) -> None:
    either.fill(3)
    either.fake.fail_write(fault, "D0001", retry_after=0.1)
    summary = either.run(either.request(operation=OperationName.DELETE, change={}))
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    assert all(_gone(either, f"D{n:04}") for n in range(3))


def test_where_the_server_records_it_a_settled_deletion_is_known_to_be_ours(rig: Rig) -> None:
    rig.fill(1)
    rig.fake.fail_write(Fault.LOST_ANSWER, "D0000")
    rig.fake.after_write("D0000", lambda: rig.fake.add("D0000", {"another": "life"}))
    request = rig.request(operation=OperationName.DELETE, change={})
    assert rig.run(request).counts.by_state == {ItemState.APPLIED: 1}
    assert not _row(rig, request.run_id).inferred


def _act_after_planning(rig: Rig, act: object) -> str:
    request = rig.request(operation=OperationName.DELETE, change={}, barrier=True)
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        act()  # type: ignore[operator]
        for shard in session.open_shards():
            session.run_shard(shard)
        session.finish()
    return request.run_id


def test_an_edit_or_a_new_file_after_planning_is_not_lost(either: Rig) -> None:
    either.fill(3)

    def disturb() -> None:
        either.fake.edit("D0000", DatasetChange(metadata={"mine": 1}))
        either.fake.add_file("D0001", "new.txt")

    run_id = _act_after_planning(either, disturb)
    assert either.state_of(run_id, "D0000") is ItemState.DRIFTED
    assert either.state_of(run_id, "D0001") is ItemState.DRIFTED
    assert either.state_of(run_id, "D0002") is ItemState.APPLIED
    assert [file.file_name for file in either.fake.files(DatasetId("D0001"))] == ["new.txt"]


def test_verification_finds_what_stands_after_all(hosted: Rig) -> None:
    hosted.fill(2)
    request = hosted.request(operation=OperationName.DELETE, change={})
    assert hosted.run(request).counts.verified == 2
    with hosted.session(request) as session:
        assert session.verify().kept == 2


def test_a_wrong_description_is_refused(rig: Rig) -> None:
    rig.fill(1)
    with pytest.raises(Exception, match="save") as error:
        rig.run(rig.request(operation=OperationName.DELETE, change={"save": True}))
    assert not isinstance(error.value, CannotProceed)
