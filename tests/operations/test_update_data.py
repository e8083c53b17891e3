"""Updates of data over a catalog in memory, alone and with metadata."""

from pathlib import Path

import pytest

from polly_core.engine.request import RunRequest
from polly_core.models.catalog import DatasetChange, DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import Fault
from tests.operations.loading import Creating, Ended, gct_text

GSE1 = DatasetId("GSE1")


@pytest.fixture(params=[True, False], ids=["own", "hosted"])
def creating(request: pytest.FixtureRequest, tmp_path: Path) -> Creating:
    found = Creating(tmp_path, FakeCatalog(enforce_versions=request.param))
    found.fake.add(GSE1, {"organism": "human"}, data=gct_text().encode())
    return found


def _request(
    creating: Creating, *rows: JsonObject, barrier: bool = False, change: JsonObject | None = None
) -> RunRequest:
    manifest = creating.files.manifest(*rows, name="edit.jsonl")
    return creating.rig.request(
        change=change or {"steps": []},
        selection=Selection(manifest_uri=str(manifest)),
        barrier=barrier,
    )


def _update(creating: Creating, *rows: JsonObject, barrier: bool = False) -> Ended:
    return creating.carry_out(_request(creating, *rows, barrier=barrier))


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_data_alone(creating: Creating, barrier: bool) -> None:
    before, metadata = creating.standing(GSE1)
    creating.files.gct("new.gct", first=3.5)
    ended = _update(creating, {"dataset_id": GSE1, "data": "new.gct"}, barrier=barrier)
    assert ended.states() == {GSE1: "applied"}, ended.reasons(GSE1)
    after, same = creating.standing(GSE1)
    assert same == metadata
    assert after.metadata_location == before.metadata_location
    assert creating.content(after.data_location) == gct_text(first=3.5).encode()
    assert ended.rows[GSE1].version_after == after.version_id


def test_data_with_metadata_and_type_is_one_version(creating: Creating) -> None:
    creating.files.gct("new.gct", first=3.5)
    row: JsonObject = {"dataset_id": GSE1, "data": "new.gct", "data_type": "Other",
                       "metadata": {"reviewed": True}}  # fmt: skip
    assert _update(creating, row).states() == {GSE1: "applied"}
    record, metadata = creating.standing(GSE1)
    assert metadata == {"organism": "human", "reviewed": True}
    assert record.data_type == "Other"
    assert len(creating.fake.versions(GSE1)) == 2


def test_the_same_data_is_no_change(creating: Creating) -> None:
    creating.files.gct("same.gct")
    ended = _update(creating, {"dataset_id": GSE1, "data": "same.gct"})
    assert ended.states() == {GSE1: "unchanged"}
    assert creating.fake.writes == []
    assert creating.fake.transfers == []


def test_the_same_data_in_another_format_is_sent_as_such(creating: Creating) -> None:
    other = creating.fake.edit(GSE1, DatasetChange(data_format="txt"))
    creating.files.gct("same.gct")
    assert _update(creating, {"dataset_id": GSE1, "data": "same.gct"}).states() == {GSE1: "applied"}
    record, _ = creating.standing(GSE1)
    assert (record.data_format, record.data_location) == ("gct", other.data_location)
    assert creating.fake.transfers == []


def test_linked_files_that_go_stand_in_the_plan(creating: Creating) -> None:
    linked = creating.fake.add_file(GSE1, "qc.pdf", linked=True, tag="mine")
    creating.fake.add_file(GSE1, "free.pdf")
    creating.files.gct("new.gct", first=3.5)
    ended = _update(creating, {"dataset_id": GSE1, "data": "new.gct"}, barrier=True)
    planned = ended.rows[GSE1].planned
    assert planned is not None
    assert planned.side_effects == (
        "file 'qc.pdf' is linked to the data that is replaced: the service deletes it",
    )
    assert [file.file_location for file in planned.files_before] == [linked.file_location]
    assert [file.file_name for file in creating.fake.files(GSE1)] == ["free.pdf"]


def test_problems_of_data_and_metadata_are_named_together(creating: Creating) -> None:
    creating.fake.edit(GSE1, DatasetChange(metadata={"sample_ids": ["s1"], "organism": "human"}))
    creating.files.gct("new.gct", ("s1", "s2"))
    row: JsonObject = {
        "dataset_id": GSE1, "data": "new.gct", "metadata.organism.name": "human"
    }  # fmt: skip
    ended = _update(creating, row)
    assert ended.states() == {GSE1: "invalid"}
    assert "organism" in ended.reasons(GSE1)
    assert "s2 only in the file" in ended.reasons(GSE1)
    assert all(one.startswith("edit.jsonl line 1: ") for one in ended.rows[GSE1].reasons)


def test_with_a_change_a_manifest_only_selects(creating: Creating) -> None:
    steps: JsonObject = {"steps": [{"set": "reviewed", "value": True}]}
    request = _request(creating, {"dataset_id": GSE1, "data": "gone.gct"}, change=steps)
    assert creating.carry_out(request).states() == {GSE1: "applied"}
    assert creating.fake.transfers == []


def test_a_sheet_does_not_replace_data_that_it_did_not_know(creating: Creating) -> None:
    exported, _ = creating.standing(GSE1)
    somewhere = "s3://fake/9/v2/GSE1/other.gct?versionId=theirs"
    creating.fake.edit(GSE1, DatasetChange(data_s3_uri=somewhere))
    creating.files.gct("new.gct", first=3.5)
    ended = _update(
        creating,
        {"dataset_id": GSE1, "base_version": exported.version_id, "data": "new.gct"},
    )
    assert ended.states() == {GSE1: "invalid"}
    assert "replaced since" in ended.reasons(GSE1)
    assert creating.standing(GSE1)[0].data_location == somewhere


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
def test_a_lost_answer_is_settled(creating: Creating, fault: Fault) -> None:
    creating.files.gct("new.gct", first=3.5)
    creating.fake.fail_write(fault, GSE1)
    ended = _update(creating, {"dataset_id": GSE1, "data": "new.gct"})
    assert ended.states() == {GSE1: "applied"}, ended.reasons(GSE1)
    assert len(creating.fake.versions(GSE1)) == 2


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_somebody_else_edits_before_our_write(creating: Creating, barrier: bool) -> None:
    creating.files.gct("new.gct", first=3.5)
    creating.fake.edit_before_write(GSE1, DatasetChange(metadata={"theirs": True}))
    ended = _update(creating, {"dataset_id": GSE1, "data": "new.gct"}, barrier=barrier)
    uploaded = creating.fake.transfers[0].location
    history = [creating.fake.metadata(one) for one in creating.fake.versions(GSE1)]
    assert {"theirs": True} in history
    if creating.fake.capabilities.expects_version:
        assert ended.states() == {GSE1: "drifted"}
        assert uploaded in ended.reasons(GSE1)
    else:
        assert ended.states() == {GSE1: "conflict"}
        assert uploaded not in ended.reasons(GSE1)
