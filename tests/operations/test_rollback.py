"""Rollback: to a version, a time, so many versions, before a run; deleted datasets come back."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from polly_core.errors import InvalidInput, NotFound
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetChange, DatasetId, DatasetRecord, StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault
from tests.engine.rig import Rig

BACK: JsonObject = {"back": 1}
D0, D1, D2 = (DatasetId(f"D{n}") for n in range(3))


def _two_versions(rig: Rig, number: int = 3) -> None:
    for n in range(number):
        rig.fake.add(f"D{n}", {"stage": "first", "n": n})
        rig.fake.edit(f"D{n}", DatasetChange(metadata={"stage": "second", "n": n}))


def _roll(rig: Rig, change: JsonObject, *ids: str, **given: object) -> RunSummary:
    selection = Selection(ids=ids) if ids else Selection()
    given = {"selection": selection, **given}
    return rig.run(rig.request(operation=OperationName.ROLLBACK, change=change, **given))  # type: ignore[arg-type]


def _roll_rows(rig: Rig, *rows: str) -> RunSummary:
    manifest = rig.folder / "m.csv"
    manifest.write_text("\n".join(["dataset_id,version_id", *rows, ""]))
    return _roll(rig, {}, selection=Selection(manifest_uri=str(manifest)))


def _update(rig: Rig) -> RunSummary:
    """A run of ours over everything there is."""
    return rig.run(rig.request())


def _stage(rig: Rig, dataset_id: DatasetId) -> object:
    return rig.fake.metadata(rig.fake.dataset(dataset_id)).get("stage")


def _row(rig: Rig, summary: RunSummary, dataset_id: str = "D0") -> ItemRow:
    return next(row for row in rig.items(summary.run_id) if row.dataset_id == dataset_id)


def _moment(record: DatasetRecord, plus: int = 0) -> str:
    return datetime.fromtimestamp((record.last_modified_at + plus) / 1000, UTC).isoformat()


def test_one_version_back_makes_a_new_version_like_the_old_one(either: Rig) -> None:
    _two_versions(either)
    first = either.fake.versions(D0)[-1]
    summary = _roll(either, BACK)
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    assert [_stage(either, one) for one in (D0, D1, D2)] == ["first"] * 3
    newest, *older = either.fake.versions(D0)
    assert len(older) == 2
    assert newest.data_location == first.data_location
    assert newest.version_id == _row(either, summary).version_after


def test_a_manifest_names_the_version_of_each(either: Rig) -> None:
    _two_versions(either)
    first, current = either.fake.versions(D0)[-1], either.fake.versions(D1)[0]
    foreign = either.fake.versions(D0)[0]
    summary = _roll_rows(
        either,
        f"D0,{first.version_id}",
        f"D1,{current.version_id}",
        f"D2,{foreign.version_id}",
    )
    states = {row.dataset_id: row.state for row in either.items(summary.run_id)}
    assert states == {D0: "applied", D1: "unchanged", D2: "invalid"}
    reason = _row(either, summary, "D2").reasons[0]
    assert str(foreign.version_id) in reason
    assert either.fake.versions(D2)[0].version_id in reason
    assert "line 4" in reason


def test_already_at_that_content_is_unchanged(either: Rig) -> None:
    _two_versions(either)
    assert _roll(either, BACK).counts.by_state == {ItemState.APPLIED: 3}
    # Two back from here is the content that stands now.
    assert _roll(either, {"back": 2}).counts.by_state == {ItemState.UNCHANGED: 3}
    before_first = _roll(either, {"back": 3})
    assert before_first.counts.by_state == {ItemState.INVALID: 3}
    assert "3 in all" in _row(either, before_first).reasons[0]


def test_as_of_a_time_is_the_version_current_then(either: Rig) -> None:
    first = either.fake.add("D0", {"stage": "first"})
    second = either.fake.edit("D0", DatasetChange(metadata={"stage": "second"}))
    either.fake.edit("D0", DatasetChange(metadata={"stage": "third"}))
    assert _roll(either, {"as_of": _moment(second)}).counts.ended_well == 1
    assert _stage(either, D0) == "second"
    assert _roll(either, {"as_of": _moment(second, -1)}).counts.ended_well == 1
    assert _stage(either, D0) == "first"
    early = _roll(either, {"as_of": _moment(first, -1)})
    assert early.counts.by_state == {ItemState.SKIPPED: 1}
    assert "did not exist" in _row(either, early).reasons[0]


def test_a_deleted_dataset_comes_back(either: Rig) -> None:
    _two_versions(either)
    gone, other = either.fake.dataset(D0), either.fake.dataset(D1)
    either.fake.remove("D0")
    either.fake.remove("D1")
    summary = _roll(either, BACK, "D0")
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    record = either.fake.dataset(D0)
    assert (_stage(either, D0), record.data_location) == ("second", gone.data_location)
    planned = _row(either, summary).planned
    assert planned is not None
    assert planned.ended == gone.version_id
    assert any("study" in text for text in planned.not_recoverable)
    back = _roll(either, {"as_of": _moment(other)}, "D1")
    assert back.counts.by_state == {ItemState.APPLIED: 1}
    assert any("does not say" in text for text in _row(either, back, "D1").planned.side_effects)  # type: ignore[union-attr]
    # Versions of an earlier life are still there to go back to.
    assert _roll(either, {"back": 2}, "D0").counts.by_state == {ItemState.APPLIED: 1}
    assert _stage(either, D0) == "first"


def test_a_dataset_that_never_was_is_invalid(rig: Rig) -> None:
    _two_versions(rig, 1)
    summary = _roll(rig, BACK, "D0", "D9")
    assert summary.counts.by_state == {ItemState.APPLIED: 1, ItemState.INVALID: 1}
    assert "D9" in _row(rig, summary, "D9").reasons[0]


def test_before_a_run_takes_what_the_run_wrote_and_nothing_else(either: Rig) -> None:
    _two_versions(either)
    run = _update(either)
    either.fake.edit("D1", DatasetChange(metadata={"stage": "later"}))
    either.fake.remove("D2")
    either.fake.add("D3", {"stage": "new"})
    summary = _roll(either, {"before_run": run.run_id})
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    for one, n in ((D0, 0), (D1, 1), (D2, 2)):
        assert either.fake.metadata(either.fake.dataset(one)) == {"stage": "second", "n": n}
    assert len(either.fake.versions(DatasetId("D3"))) == 1
    again = _roll(either, {"before_run": run.run_id})
    assert again.counts.by_state == {ItemState.UNCHANGED: 3}
    chosen = _roll(either, {"before_run": run.run_id}, "D3")
    assert "did not touch it" in _row(either, chosen, "D3").reasons[0]


def test_before_a_deletion_with_the_study_that_the_ledger_saw(either: Rig) -> None:
    either.fake.add("D0", {"n": 1}, study_id="S1")
    either.fake.add_file("D0", "a.txt")
    deletion = either.run(either.request(operation=OperationName.DELETE, change={}))
    summary = _roll(either, {"before_run": deletion.run_id})
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    assert either.fake.dataset(D0).study_id == "S1"
    planned = _row(either, summary).planned
    assert planned is not None
    assert len(planned.not_recoverable) == 1, "only the files"
    assert "undo" in planned.not_recoverable[0]


def test_before_a_run_that_made_it_there_is_nothing(either: Rig) -> None:
    either.fake.add("D0", {"n": 1})
    either.fake.remove("D0")
    revival = _roll(either, BACK, "D0")
    summary = _roll(either, {"before_run": revival.run_id})
    assert summary.counts.by_state == {ItemState.INVALID: 1}
    assert f"polly-bulk undo {revival.run_id}" in _row(either, summary).reasons[0]


def test_the_study_is_restored_where_it_was_recorded(either: Rig) -> None:
    """Recorded by a plan, by a move of ours, or not at all."""
    either.fake.add("D0", {"n": 0}, study_id="S1")
    either.fake.add("D1", {"n": 1}, study_id="S1")
    move = either.request(
        operation=OperationName.STUDY, change={"study_id": "S2"}, selection=Selection(ids=("D1",))
    )
    either.run(move)
    _update(either)
    for name in ("D0", "D1"):
        either.fake.edit(name, DatasetChange(study_id=StudyId("S9")))
    either.fake.add("D2", {"n": 2}, study_id="S1")
    either.fake.edit("D2", DatasetChange(metadata={}))
    summary = _roll(either, BACK)
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    assert [either.fake.dataset(one).study_id for one in (D0, D1, D2)] == ["S1", "S2", "S1"]
    lost = [_row(either, summary, f"D{n}").planned.not_recoverable for n in range(3)]  # type: ignore[union-attr]
    assert lost[:2] == [(), ()]
    assert "study" in lost[2][0]


def test_a_study_alone_goes_back_without_a_version(either: Rig) -> None:
    either.fake.add("D0", {"n": 0}, study_id="S1")
    move = either.run(either.request(operation=OperationName.STUDY, change={"study_id": "S2"}))
    summary = _roll(either, {"before_run": move.run_id})
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    assert either.fake.dataset(D0).study_id == "S1"
    assert len(either.fake.versions(D0)) == 1


def _new_data(rig: Rig, dataset_id: str) -> str:
    """Other data for a dataset, as somebody else would put it there."""
    location = f"s3://fake/9/v2/{dataset_id}/other.gct?versionId=x"
    rig.fake.edit(dataset_id, DatasetChange(data_s3_uri=location, data_format="gct"))
    return location


def test_files_that_go_with_the_data_are_kept_and_said(either: Rig) -> None:
    first = either.fake.add("D0", {"n": 0})
    _new_data(either, "D0")
    linked = either.fake.add_file("D0", "linked.csv", tag="t", linked=True)
    either.fake.add_file("D0", "free.csv")
    summary = _roll(either, {"back": 1, "save_bytes": True})
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    assert either.fake.dataset(D0).data_location == first.data_location
    assert [file.file_name for file in either.fake.files(D0)] == ["free.csv"]
    row = _row(either, summary)
    assert row.planned is not None
    [kept] = row.planned.files_before
    assert (kept.file_location, kept.linked) == (linked.file_location, True)
    assert any("'linked.csv'" in text for text in row.planned.side_effects)
    assert [one.step for one in row.done] == ["save:linked.csv"]


def test_data_that_is_gone_from_the_store_is_refused_before_anything_is_written(rig: Rig) -> None:
    first = rig.fake.add("D0", {"n": 0})
    _new_data(rig, "D0")
    rig.fake.objects.lose(first.data_location)
    summary = _roll(rig, BACK)
    assert summary.counts.by_state == {ItemState.INVALID: 1}
    assert first.version_id in _row(rig, summary).reasons[0]
    assert rig.fake.writes == []


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_on_one_write_costs_nothing(either: Rig, fault: Fault) -> None:
    _two_versions(either)
    either.fake.remove("D2")
    for name in ("D1", "D2"):
        either.fake.fail_write(fault, name, retry_after=0.1)
    summary = _roll(either, BACK, "D0", "D1", "D2")
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    assert [_stage(either, one) for one in (D0, D1, D2)] == ["first", "first", "second"]
    counts = [len(either.fake.versions(one, include_deleted=True)) for one in (D0, D1, D2)]
    assert counts == [3, 3, 3]


def _meanwhile(rig: Rig, act: Callable[[], object], *ids: str) -> str:
    """A rollback whose datasets somebody touches between plan and writes."""
    request = rig.request(
        operation=OperationName.ROLLBACK, change=BACK, selection=Selection(ids=ids), barrier=True
    )
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        act()
        for shard in session.open_shards():
            session.run_shard(shard)
        session.finish()
    return request.run_id


def test_what_others_do_after_planning_stays(either: Rig) -> None:
    _two_versions(either)
    either.fake.remove("D2")
    _new_data(either, "D1")

    def disturb() -> None:
        either.fake.edit("D0", DatasetChange(metadata={"mine": 1}))
        either.fake.add_file("D1", "new.csv", linked=True)
        either.fake.add("D2", {"mine": 2})

    run_id = _meanwhile(either, disturb, "D0", "D1", "D2")
    assert {row.state for row in either.items(run_id)} == {ItemState.DRIFTED}
    assert either.fake.metadata(either.fake.dataset(D0)) == {"mine": 1}
    assert [file.file_name for file in either.fake.files(D1)] == ["new.csv"]
    assert either.fake.metadata(either.fake.dataset(D2)) == {"mine": 2}


def test_a_plan_that_is_taken_up_does_exactly_that(either: Rig) -> None:
    _two_versions(either)
    either.fake.remove("D2")
    request = either.request(
        operation=OperationName.ROLLBACK,
        change=BACK,
        selection=Selection(ids=("D0", "D2")),
        barrier=True,
    )
    with either.session(request) as session:
        session.freeze()
        session.plan()
    summary = either.take_up(request.run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 2}
    assert (_stage(either, D0), _stage(either, D2)) == ("first", "second")
    with either.session(request) as session:
        assert session.verify().kept == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "--before-run"),
        ({"back": 0}, "back"),
        ({"back": 1, "as_of": "2026-01-01T00:00:00Z"}, "exclude each other"),
        ({"as_of": "2026-01-01T00:00:00"}, "as_of"),
        ({"before_run": "5b1d2c3e-0000-0000-0000-000000000000"}, "5b1d2c3e"),
    ],
)
def test_what_cannot_be_meant_is_refused(rig: Rig, change: JsonObject, told: str) -> None:
    _two_versions(rig, 1)
    with pytest.raises(InvalidInput, match=told):
        _roll(rig, change)
    with pytest.raises(NotFound):
        rig.fake.dataset(DatasetId("D9"))
