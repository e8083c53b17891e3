"""Attaching by a manifest: uploads, references, replacements, several files of one dataset."""

from pathlib import Path

import pytest

from polly_core.catalog.ports import ObjectKey
from polly_core.errors import InvalidInput, StorageUnavailable
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetChange, DatasetId, FileRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from polly_core.testing.faults import Fault, WriteKind
from tests.engine.rig import Rig

D0 = DatasetId("D0000")
REPLACE: JsonObject = {"existing": "replace"}


def _manifest(rig: Rig, *rows: str, header: str = "dataset_id,file,file_name,tag,link") -> str:
    path = rig.folder / "files" / "manifest.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]))
    return str(path)


def _local(rig: Rig, name: str, content: str) -> None:
    path = rig.folder / "files" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)


def _attach(rig: Rig, manifest: str, change: JsonObject | None = None) -> RunSummary:
    request = rig.request(
        operation=OperationName.ATTACH,
        change=change or {},
        selection=Selection(manifest_uri=manifest),
    )
    return rig.run(request)


def _files(rig: Rig, dataset_id: DatasetId = D0) -> dict[str, FileRecord]:
    return {file.file_name: file for file in rig.fake.files(dataset_id)}


def _content(rig: Rig, name: str) -> str:
    return rig.fake.objects.read(_files(rig)[name].file_location).decode()


def _only(rig: Rig, summary: RunSummary) -> ItemRow:
    [row] = rig.items(summary.run_id)
    return row


def test_files_are_uploaded_and_attached_with_tag_and_link(either: Rig) -> None:
    either.fill(2)
    _local(either, "a.csv", "a,b\n")
    _local(either, "notes", "text")
    manifest = _manifest(
        either,
        "D0000,a.csv,,raw,true",
        "D0000,a.csv,copy.csv,,",
        "D0001,notes,notes.txt,,false",
    )
    summary = _attach(either, manifest)
    assert summary.counts.by_state == {ItemState.APPLIED: 3}
    files = _files(either)
    linked = files["a.csv"]
    assert (linked.tag, linked.file_format) == ("raw", "csv")
    assert linked.derived_from == either.fake.dataset(D0).data_location
    assert (files["copy.csv"].tag, files["copy.csv"].derived_from) == (None, None)
    assert _content(either, "copy.csv") == "a,b\n"
    assert _files(either, DatasetId("D0001"))["notes.txt"].file_format == "txt"
    assert all(len(either.fake.versions(DatasetId(f"D{n:04}"))) == 1 for n in range(2))


def test_second_application_uploads_and_writes_nothing(either: Rig) -> None:
    either.fill(1)
    _local(either, "a.csv", "a,b\n")
    manifest = _manifest(either, "D0000,a.csv,,raw,true")
    assert _attach(either, manifest).counts.by_state == {ItemState.APPLIED: 1}
    writes, transfers = len(either.fake.writes), len(either.fake.transfers)
    assert _attach(either, manifest).counts.by_state == {ItemState.UNCHANGED: 1}
    assert (len(either.fake.writes), len(either.fake.transfers)) == (writes, transfers)


def test_an_object_of_the_atlas_is_referred_to_not_uploaded(either: Rig) -> None:
    either.fill(1)
    location = either.fake.put_object(ObjectKey(D0, file_name="there.csv"), b"1,2\n")
    bare = location.partition("?")[0]
    manifest = _manifest(either, f"D0000,{bare},,,")
    assert _attach(either, manifest).counts.by_state == {ItemState.APPLIED: 1}
    assert _files(either)["there.csv"].file_location == location
    assert either.fake.transfers == []
    absent = _manifest(either, f"D0000,{bare}x.csv,,,")
    row = _only(either, _attach(either, absent))
    assert row.state is ItemState.INVALID
    assert f"{bare}x.csv" in row.reasons[0]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, ItemState.INVALID),
        ({"existing": "skip"}, ItemState.SKIPPED),
        (REPLACE, ItemState.APPLIED),
    ],
)
def test_another_file_of_that_name_is_refused_skipped_or_replaced(
    rig: Rig, change: JsonObject, state: ItemState
) -> None:
    rig.fill(1)
    before = rig.fake.add_file("D0000", "a.csv", tag="raw", linked=True, content=b"old")
    _local(rig, "a.csv", "new")
    row = _only(rig, _attach(rig, _manifest(rig, "D0000,a.csv,,,"), change))
    assert row.state is state
    assert _content(rig, "a.csv") == ("new" if state is ItemState.APPLIED else "old")
    if state is ItemState.INVALID:
        assert "--existing replace" in row.reasons[0]
        assert "line 2" in row.reasons[0]
    if row.planned is not None:
        [kept] = row.planned.files_before
        assert (kept.file_location, kept.tag, kept.linked) == (before.file_location, "raw", True)
        # Not said in the row: they stay as they are.
        now = _files(rig)["a.csv"]
        assert (now.tag, now.derived_from) == ("raw", before.derived_from)


def test_another_tag_or_link_alone_is_changed_without_an_upload(either: Rig) -> None:
    either.fill(1)
    before = either.fake.add_file("D0000", "a.csv", tag="raw", content=b"same")
    _local(either, "a.csv", "same")
    manifest = _manifest(either, "D0000,a.csv,,<null>,true")
    assert _attach(either, manifest, REPLACE).counts.by_state == {ItemState.APPLIED: 1}
    now = _files(either)["a.csv"]
    assert (now.file_location, now.tag) == (before.file_location, None)
    assert now.derived_from is not None
    assert either.fake.transfers == []


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER])
def test_a_link_that_got_lost_is_not_taken_for_made(either: Rig, fault: Fault) -> None:
    """The file stood there before with the same object and tag; only its link was to change."""
    either.fill(1)
    either.fake.add_file("D0000", "a.csv", content=b"same")
    _local(either, "a.csv", "same")
    either.fake.fail_write(fault, "D0000", kind=WriteKind.ATTACH)
    manifest = _manifest(either, "D0000,a.csv,,,true")
    assert _attach(either, manifest, REPLACE).counts.by_state == {ItemState.APPLIED: 1}
    assert _files(either)["a.csv"].derived_from is not None


def test_replaced_bytes_are_saved_first(rig: Rig) -> None:
    rig.fill(1)
    rig.fake.add_file("D0000", "a.csv", content=b"old")
    _local(rig, "a.csv", "new")
    summary = _attach(rig, _manifest(rig, "D0000,a.csv,,,"), {**REPLACE, "save_bytes": True})
    row = _only(rig, summary)
    assert [one.step for one in row.done] == ["save:a.csv", "object:a.csv"]
    saved = row.done[0].location
    assert saved is not None
    assert Path(saved).read_bytes() == b"old"
    assert _content(rig, "a.csv") == "new"


@pytest.mark.parametrize("fault", list(Fault))
def test_many_files_of_one_dataset_in_one_run(either: Rig, fault: Fault) -> None:
    either.fill(1)
    for n in range(50):
        _local(either, f"f{n}.txt", f"content {n}")
    manifest = _manifest(either, *(f"D0000,f{n}.txt" for n in range(50)), header="dataset_id,file")
    either.fake.fail_write(fault, "D0000", retry_after=0.1)
    assert _attach(either, manifest).counts.by_state == {ItemState.APPLIED: 50}
    assert sorted(_files(either)) == sorted(f"f{n}.txt" for n in range(50))
    assert all(_content(either, f"f{n}.txt") == f"content {n}" for n in range(50))


def test_an_upload_that_failed_is_made_again(either: Rig) -> None:
    either.fill(2)
    _local(either, "a.csv", "a")
    either.fake.fail_store(StorageUnavailable("away"), "D0000", times=2)
    either.fake.fail_store(StorageUnavailable("away"), "D0001", stored=True)
    manifest = _manifest(either, "D0000,a.csv,,,", "D0001,a.csv,,,")
    assert _attach(either, manifest).counts.by_state == {ItemState.APPLIED: 2}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("D0000,absent.csv,,,", "absent.csv"),
        ("D0000,a.what,,,", "file_format"),
        ("D0000,a.csv,x/y.csv,,", "x/y.csv"),
        ("D9999,a.csv,,,", "D9999"),
        ("D0000,,b.csv,,", "found nothing"),
        ("D0000,s3://elsewhere/x.csv#1,,,", "x.csv"),
    ],
)
def test_a_row_that_cannot_be_meant_is_invalid(rig: Rig, row: str, told: str) -> None:
    rig.fill(1)
    for name in ("a.csv", "a.what"):
        _local(rig, name, "x")
    found = _only(rig, _attach(rig, _manifest(rig, row)))
    assert found.state is ItemState.INVALID
    assert told in found.reasons[0]
    assert rig.fake.writes == []
    assert rig.fake.transfers == []


def test_the_same_file_twice_or_no_manifest_is_refused(rig: Rig) -> None:
    rig.fill(1)
    _local(rig, "a.csv", "x")
    with pytest.raises(InvalidInput, match="line 3"):
        _attach(rig, _manifest(rig, "D0000,a.csv,,,", "D0000,a.csv,a.csv,,"))
    with pytest.raises(InvalidInput, match="--manifest"):
        rig.run(rig.request(operation=OperationName.ATTACH, change={}))
    with pytest.raises(InvalidInput, match="file_name"):
        _attach(rig, _manifest(rig, "D0000", header="dataset_id"))


def test_a_file_that_changed_after_planning_is_refused(rig: Rig) -> None:
    rig.fill(1)
    _local(rig, "a.csv", "planned")
    request = rig.request(
        operation=OperationName.ATTACH,
        change={},
        selection=Selection(manifest_uri=_manifest(rig, "D0000,a.csv,,,")),
        barrier=True,
    )
    with rig.session(request) as session:
        session.freeze()
        session.plan()
        _local(rig, "a.csv", "another")
        for shard in session.open_shards():
            session.run_shard(shard)
        session.finish()
    [row] = rig.items(request.run_id)
    assert row.state is ItemState.FAILED
    assert "not the file that was planned" in row.reasons[0]
    assert _files(rig) == {}


def test_a_file_that_someone_else_attached_meanwhile_stays(either: Rig) -> None:
    either.fill(2)
    _local(either, "a.csv", "ours")
    request = either.request(
        operation=OperationName.ATTACH,
        change=REPLACE,
        selection=Selection(manifest_uri=_manifest(either, "D0000,a.csv,,,", "D0001,a.csv,,,")),
        barrier=True,
    )
    with either.session(request) as session:
        session.freeze()
        session.plan()
        either.fake.add_file("D0000", "a.csv", content=b"theirs")
        either.fake.edit("D0001", DatasetChange(metadata={"mine": 1}))
        for shard in session.open_shards():
            session.run_shard(shard)
        session.finish()
    assert {row.state for row in either.items(request.run_id)} == {ItemState.DRIFTED}
    assert _content(either, "a.csv") == "theirs"
