"""Copies between atlases: everything comes along, and what is there is dealt with as asked."""

from pathlib import Path

import pytest

from polly_core.errors import InvalidInput, ObjectMissing
from polly_core.models.catalog import AtlasId, DatasetChange, DatasetId, StudyId
from polly_core.models.run import ItemState, OperationName, Planned
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault, WriteKind
from tests.operations.copies import SOURCE, Copies, FileSeen, seen

IDS = ("A", "B", "C")
DATA = "s3://fake/8/v2/A/A.gct"


@pytest.fixture(params=[True, False], ids=["enforced", "hosted"])
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Copies:
    """Over a service that enforces versions, and over one that does not."""
    return Copies.make(tmp_path, enforce_versions=request.param)


def planned_of(copies: Copies, run_id: str, dataset_id: str) -> Planned:
    found = next(row for row in copies.rig.items(run_id) if row.dataset_id == dataset_id)
    assert found.planned is not None, found.reasons
    return found.planned


def edit(copies: Copies, dataset_id: str, **change: object) -> None:
    """Somebody edits the source."""
    copies.source.edit(dataset_id, DatasetChange.model_validate(change))


def test_everything_comes_along(copies: Copies) -> None:
    copies.fill()
    summary = copies.run()
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    for dataset_id in IDS:
        assert seen(copies.target, dataset_id) == seen(copies.source, dataset_id)
    record = copies.target.dataset(DatasetId("A"))
    assert record.data_location.startswith("s3://fake/9/v2/A/A.gct?versionId=")
    locations = {file.file_name: file.file_location for file in copies.target.files(DatasetId("A"))}
    assert locations["qc.html"].startswith("s3://fake/9/v2/A/.sfiles/qc.html?versionId=")
    assert (
        planned_of(copies, summary.run_id, "A").source
        == Planned.model_validate(
            {
                "source": {
                    "atlas_id": "8",
                    "dataset_id": "A",
                    "version_id": copies.source.dataset(DatasetId("A")).version_id,
                    "data_location": copies.source.dataset(DatasetId("A")).data_location,
                    "files": [
                        {
                            "file_name": file.file_name,
                            "file_format": file.file_format,
                            "file_location": file.file_location,
                            "tag": file.tag,
                            "linked": file.derived_from is not None,
                        }
                        for file in copies.source.files(DatasetId("A"))
                    ],
                }
            }
        ).source
    )


def test_copied_again_nothing_is_written(copies: Copies) -> None:
    copies.fill()
    copies.run()
    writes, transfers = len(copies.target.writes), len(copies.target.transfers)
    again = copies.run("overwrite")
    assert again.counts.by_state == {ItemState.UNCHANGED: 3}
    assert (len(copies.target.writes), len(copies.target.transfers)) == (writes, transfers)


def test_equal_content_is_known_without_the_ledger(copies: Copies, tmp_path: Path) -> None:
    """Somebody else copied it: sizes and tags of the objects tell."""
    copies.fill()
    copies.run()
    (tmp_path / "ledger.db").unlink()
    assert copies.run("overwrite").counts.by_state == {ItemState.UNCHANGED: 3}


@pytest.mark.parametrize(
    ("existing", "state", "told"),
    [
        ("fail", ItemState.INVALID, "at the destination already"),
        ("skip", ItemState.SKIPPED, "at the destination already"),
        ("newer", ItemState.SKIPPED, "modified last"),
        ("overwrite", ItemState.APPLIED, ""),
    ],
)
def test_what_is_there_is_dealt_with_as_asked(
    copies: Copies, existing: str, state: ItemState, told: str
) -> None:
    copies.source.add("A", {"n": 1})
    copies.source.add("B", {"n": 1})
    for n in range(5):
        copies.target.add(f"X{n}")
    copies.target.add("A", {"n": 2})
    summary = copies.run(existing)
    assert summary.counts.by_state[state] == (2 if state is ItemState.APPLIED else 1)
    assert copies.rig.state_of(summary.run_id, "B") is ItemState.APPLIED
    assert told in " ".join(copies.reasons(summary)["A"])
    assert seen(copies.target, "A").metadata == {"n": 1 if existing == "overwrite" else 2}


def test_newer_takes_what_was_modified_later(copies: Copies) -> None:
    copies.fill()
    copies.run()
    for n in range(20):
        edit(copies, "C", metadata={"n": n})
    summary = copies.run("newer")
    assert copies.rig.state_of(summary.run_id, "C") is ItemState.APPLIED
    assert seen(copies.target, "C") == seen(copies.source, "C")


def test_an_overwritten_dataset_takes_over_study_and_files(
    copies: Copies,
) -> None:
    copies.source.add("A", {"n": 1}, data=b"new" * 500)
    copies.source.add_file("A", "qc.html", tag="new", linked=True, content=b"new" * 500)
    before = copies.target.add("A", {"n": 0}, data=b"old" * 500, study_id="S9")
    copies.target.add_file("A", "qc.html", tag="old", content=b"old" * 500)
    copies.target.add_file("A", "mine.txt", tag="foreign")
    copies.target.add_file("A", "made.txt", linked=True)
    had = {file.file_name: file.file_location for file in copies.target.files(DatasetId("A"))}
    summary = copies.run("overwrite")
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    now = seen(copies.target, "A")
    assert (now.metadata, now.study_id) == ({"n": 1}, None)
    assert now.files == {
        "qc.html": FileSeen(b"new" * 500, "html", "new", True),
    }
    planned = planned_of(copies, summary.run_id, "A")
    assert planned.seen == before
    assert {f.file_name: f.file_location for f in planned.files_before} == {
        "made.txt": had["made.txt"],
        "mine.txt": had["mine.txt"],
        "qc.html": had["qc.html"],
    }
    assert planned.side_effects == (
        "the destination becomes like the source",
        "it leaves its study, as the source is in none",
        "file 'mine.txt' is removed: the source has none of that name",
        "file 'made.txt' goes with the data it is linked to",
        "files of the same name are replaced",
    )


def test_a_linked_file_that_is_there_is_linked_to_the_new_data(copies: Copies) -> None:
    """Its object stays; only the link is made anew."""
    copies.source.add("A", data=b"new" * 500)
    copies.source.add_file("A", "qc.html", linked=True, content=b"same" * 500)
    copies.target.add("A", data=b"old" * 500)
    here = copies.target.add_file("A", "qc.html", linked=True, content=b"same" * 500)
    copies.run("overwrite")
    found = copies.target.files(DatasetId("A"))
    assert [file.file_location for file in found] == [here.file_location]
    assert seen(copies.target, "A") == seen(copies.source, "A")
    assert [call.key.file_name for call in copies.target.transfers] == [""]


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"organism": "mouse"}},
        {"data_type": "Single cell"},
        {"data_format": "txt"},
        {"study_id": "S2"},
        {"study_id": None},
        {"data_s3_uri": DATA + "?versionId=new"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_only_what_differs_is_written(copies: Copies, change: dict[str, object]) -> None:
    copies.fill()
    copies.run()
    edit(copies, "A", **change)
    transfers = len(copies.target.transfers)
    summary = copies.run("overwrite")
    assert summary.counts.by_state == {ItemState.APPLIED: 1, ItemState.UNCHANGED: 2}
    assert seen(copies.target, "A") == seen(copies.source, "A")
    moved = copies.target.transfers[transfers:]
    assert [call.key.extension for call in moved] == ([".gct"] if "data_s3_uri" in change else [])
    versions = copies.target.versions(DatasetId("A"))
    assert len(versions) == (1 if "study_id" in change else 2)


def test_files_that_changed_come_alone(copies: Copies) -> None:
    copies.fill()
    copies.run()
    copies.source.add_file("A", "notes.txt", tag="now tagged", content=b"other")
    copies.source.add_file("B", "first.txt")
    summary = copies.run("overwrite")
    assert summary.counts.by_state == {ItemState.APPLIED: 2, ItemState.UNCHANGED: 1}
    for dataset_id in IDS:
        assert seen(copies.target, dataset_id) == seen(copies.source, dataset_id)
        assert len(copies.target.versions(DatasetId(dataset_id))) == 1


@pytest.mark.parametrize("linked", [True, False], ids=["linked", "free"])
def test_files_only_there_are_removed_and_come_back(copies: Copies, linked: bool) -> None:
    copies.fill()
    copies.run()
    copies.target.add_file("A", "theirs.txt", tag="t", linked=linked)
    before = seen(copies.target, "A")
    assert copies.run("skip").counts.by_state == {ItemState.SKIPPED: 3}
    assert copies.run("overwrite", spec={"files": False}).counts.by_state == {
        ItemState.UNCHANGED: 3
    }
    assert seen(copies.target, "A") == before
    summary = copies.run("overwrite")
    assert summary.counts.by_state == {ItemState.APPLIED: 1, ItemState.UNCHANGED: 2}
    assert planned_of(copies, summary.run_id, "A").detach == ("theirs.txt",)
    assert seen(copies.target, "A") == seen(copies.source, "A")
    assert copies.run("overwrite").counts.by_state == {ItemState.UNCHANGED: 3}
    undo = copies.rig.request(
        operation=OperationName.UNDO,
        change={"run_id": summary.run_id},
        selection=Selection(written_by=summary.run_id),
    )
    assert copies.rig.run(undo).counts.by_state == {ItemState.APPLIED: 1}
    assert seen(copies.target, "A") == before


def test_newer_removes_files_only_there(copies: Copies) -> None:
    copies.fill()
    copies.run()
    copies.target.add_file("C", "theirs.txt")
    for n in range(20):
        edit(copies, "C", metadata={"n": n})
    assert copies.run("newer").counts.of(ItemState.APPLIED) == 1
    assert seen(copies.target, "C") == seen(copies.source, "C")


def test_files_may_be_left_behind(copies: Copies) -> None:
    copies.fill()
    copies.run(spec={"files": False})
    assert copies.target.files(DatasetId("A")) == []
    assert copies.run("overwrite", spec={"files": False}).counts.by_state == {
        ItemState.UNCHANGED: 3
    }


def test_a_deleted_dataset_lives_again(copies: Copies) -> None:
    copies.fill()
    copies.run()
    copies.target.remove("A")
    last = copies.target.versions(DatasetId("A"), include_deleted=True)[0].version_id
    summary = copies.run("skip")
    planned = planned_of(copies, summary.run_id, "A")
    assert planned.ended == last
    assert "a deleted dataset of the destination lives again" in planned.side_effects
    assert seen(copies.target, "A") == seen(copies.source, "A")


def test_what_is_not_in_the_source_is_named(copies: Copies) -> None:
    copies.fill()
    summary = copies.run(selection=Selection(ids=("A", "nothing")))
    assert copies.reasons(summary)["nothing"] == ("dataset nothing is not in atlas 8; remove it",)
    assert copies.rig.state_of(summary.run_id, "nothing") is ItemState.INVALID
    assert copies.rig.state_of(summary.run_id, "A") is ItemState.APPLIED


def test_objects_that_are_gone_are_named_before_anything_is_written(copies: Copies) -> None:
    copies.fill()
    record = copies.source.dataset(DatasetId("A"))
    file = copies.source.files(DatasetId("A"))[0]
    for location in (record.data_location, file.file_location):
        copies.source.objects.lose(location)
    summary = copies.run(selection=Selection(ids=("A",)))
    assert summary.counts.by_state == {ItemState.INVALID: 1}
    assert copies.reasons(summary)["A"] == (
        f"its data is not in the store of atlas 8: expected {record.data_location}",
        f"its file 'notes.txt' is not in the store of atlas 8: expected {file.file_location}",
    )
    assert copies.target.writes == []


def test_a_lost_file_that_cannot_be_read_is_not_recoverable(copies: Copies) -> None:
    copies.source.add("A")
    copies.source.add_file("A", "qc.html", content=b"new" * 500)
    copies.target.add("A")
    old = copies.target.add_file("A", "qc.html", content=b"old" * 500)
    copies.target.objects.lose(old.file_location)
    summary = copies.run("overwrite")
    (said,) = planned_of(copies, summary.run_id, "A").not_recoverable
    assert "'qc.html' could not be put back" in said


def test_saved_bytes_of_what_is_replaced(copies: Copies, tmp_path: Path) -> None:
    copies.source.add("A")
    copies.source.add_file("A", "qc.html", content=b"new" * 500)
    copies.target.add("A")
    copies.target.add_file("A", "qc.html", content=b"old" * 500)
    summary = copies.run("overwrite", spec={"save_bytes": True})
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    (row,) = copies.rig.items(summary.run_id)
    saved = next(step for step in row.done if step.step == "save:qc.html")
    assert saved.location is not None
    assert Path(saved.location).read_bytes() == b"old" * 500
    assert Path(saved.location).is_relative_to(tmp_path)


# -- within one atlas, and under other ids -------------------------------------------------------


def manifest(folder: Path, text: str) -> Selection:
    path = folder / "copies.csv"
    path.write_text(text)
    return Selection(manifest_uri=str(path))


def test_within_one_atlas_objects_are_shared(copies: Copies, tmp_path: Path) -> None:
    copies.target.add("A", {"n": 1}, study_id="S1")
    copies.target.add_file("A", "qc.html", tag="report", linked=True)
    rows = manifest(tmp_path, "dataset_id,from_dataset_id\nA_copy,A\n")
    summary = copies.run(selection=rows, from_atlas="9")
    assert summary.counts.by_state == {ItemState.APPLIED: 1}
    assert seen(copies.target, "A_copy") == seen(copies.target, "A")
    ours, theirs = (copies.target.dataset(DatasetId(name)) for name in ("A_copy", "A"))
    assert ours.data_location == theirs.data_location
    assert copies.target.transfers == []
    again = copies.run("overwrite", selection=rows, from_atlas="9")
    assert again.counts.by_state == {ItemState.UNCHANGED: 1}


def test_across_atlases_under_another_id(copies: Copies, tmp_path: Path) -> None:
    copies.fill()
    rows = manifest(tmp_path, "dataset_id,from_dataset_id\nrenamed,A\nB,\n")
    summary = copies.run(selection=rows)
    assert summary.counts.by_state == {ItemState.APPLIED: 2}
    assert seen(copies.target, "renamed") == seen(copies.source, "A")
    location = copies.target.dataset(DatasetId("renamed")).data_location
    assert "/9/v2/renamed/renamed.gct?" in location


def test_nothing_is_copied_onto_itself(copies: Copies, tmp_path: Path) -> None:
    copies.target.add("A")
    with pytest.raises(InvalidInput, match=r"both atlas 9.*from_dataset_id"):
        copies.run(from_atlas="9")
    summary = copies.run(selection=manifest(tmp_path, "dataset_id\nA\n"), from_atlas="9")
    assert "onto itself" in copies.reasons(summary)["A"][0]


def test_a_source_that_is_none_is_refused(copies: Copies) -> None:
    with pytest.raises(InvalidInput, match="--from"):
        copies.run(from_atlas="none")


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("kind", [WriteKind.CREATE, WriteKind.ATTACH])
def test_faults_of_writes(copies: Copies, fault: Fault, kind: WriteKind) -> None:
    """Whatever a write comes to, in the end there is one copy, whole."""
    copies.fill()
    copies.target.fail_write(fault, "A", kind=kind, retry_after=0.01)
    summary = copies.run()
    if fault is Fault.LATE:
        copies.target.deliver_late()
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    for dataset_id in IDS:
        assert seen(copies.target, dataset_id) == seen(copies.source, dataset_id)
        assert len(copies.target.versions(DatasetId(dataset_id))) == 1


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.LOCKED])
def test_faults_of_overwriting(copies: Copies, fault: Fault) -> None:
    copies.fill()
    copies.run()
    edit(copies, "A", metadata={"organism": "mouse"}, data_s3_uri=DATA + "?versionId=new")
    copies.source.add_file("A", "qc.html", linked=True, content=b"w" * 3000)
    copies.target.fail_write(fault, "A", kind=WriteKind.UPDATE, retry_after=0.01)
    copies.target.fail_write(fault, "A", kind=WriteKind.ATTACH, retry_after=0.01)
    summary = copies.run("overwrite")
    assert summary.counts.by_state == {ItemState.APPLIED: 1, ItemState.UNCHANGED: 2}
    assert seen(copies.target, "A") == seen(copies.source, "A")
    assert len(copies.target.versions(DatasetId("A"))) == 2


def test_an_object_that_vanishes_meanwhile_fails_the_item(copies: Copies) -> None:
    copies.fill()
    copies.target.fail_store(ObjectMissing("no such object: s3://fake/8/…"), "A")
    summary = copies.run()
    assert summary.counts.by_state == {ItemState.APPLIED: 2, ItemState.FAILED: 1}
    assert "no such object" in copies.reasons(summary)["A"][0]
    assert not [call for call in copies.target.writes if call.dataset_id == "A"]


def test_someone_else_comes_first(copies: Copies) -> None:
    """A dataset made by others between plan and write is left as it is."""
    copies.fill()
    request = copies.request(barrier=True)
    with copies.rig.session(request) as session:
        session.freeze()
        session.plan()
    copies.target.add("A", {"theirs": True})
    summary = copies.rig.take_up(request.run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 2, ItemState.DRIFTED: 1}
    assert seen(copies.target, "A").metadata == {"theirs": True}


def test_someone_edits_the_destination_between_plan_and_write(copies: Copies) -> None:
    copies.fill()
    copies.run()
    edit(copies, "A", metadata={"ours": True})
    request = copies.request("overwrite", barrier=True)
    with copies.rig.session(request) as session:
        session.freeze()
        session.plan()
    copies.target.edit("A", DatasetChange(metadata={"theirs": True}))
    summary = copies.rig.take_up(request.run_id)
    assert summary.counts.by_state == {ItemState.DRIFTED: 1, ItemState.UNCHANGED: 2}
    assert seen(copies.target, "A").metadata == {"theirs": True}


def test_someone_edits_the_destination_while_it_is_written(copies: Copies) -> None:
    copies.fill()
    copies.run()
    edit(copies, "A", metadata={"ours": True})
    copies.target.edit_before_write("A", DatasetChange(metadata={"theirs": True}))
    summary = copies.run("overwrite")
    enforced = copies.target.capabilities.expects_version
    state = ItemState.DRIFTED if enforced else ItemState.CONFLICT
    assert copies.rig.state_of(summary.run_id, "A") is state
    metadata = [copies.target.metadata(v) for v in copies.target.versions(DatasetId("A"))]
    assert {"theirs": True} in metadata


def test_the_source_is_copied_as_planned(copies: Copies) -> None:
    """What becomes of it after the plan changes nothing: its version and objects stay."""
    copies.fill()
    planned = seen(copies.source, "A")
    request = copies.request(barrier=True)
    with copies.rig.session(request) as session:
        session.freeze()
        session.plan()
    edit(copies, "A", metadata={"later": True})
    copies.source.add_file("A", "later.txt")
    copies.source.remove("B")
    summary = copies.rig.take_up(request.run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    assert seen(copies.target, "A") == planned


def test_a_run_that_was_planned_by_pages_of_the_source_is_taken_up(copies: Copies) -> None:
    """More than a page's worth of items: their pages are the source's, not the destination's."""
    for n in range(30):
        copies.source.add(f"D{n:03}", {"n": n})
        copies.target.add(f"D{n:03}", {"n": -1})
    request = copies.request("overwrite", barrier=True)
    with copies.rig.session(request) as session:
        session.freeze()
        session.plan()
    summary = copies.rig.take_up(request.run_id)
    assert summary.counts.by_state == {ItemState.APPLIED: 30}


def test_the_study_of_many_and_a_filter_choose_in_the_source(copies: Copies) -> None:
    copies.fill()
    summary = copies.run(selection=Selection(study=StudyId("S1"), where="metadata.n == `1`"))
    assert [row.dataset_id for row in copies.rig.items(summary.run_id)] == ["C"]
    assert copies.source.catalog.atlas_id == AtlasId(SOURCE)
