"""Creation over a catalog in memory: what is planned, refused, written, left alone."""

from pathlib import Path

import pytest

from polly_core.catalog.ports import ObjectKey
from polly_core.errors import InvalidInput, StorageError, StorageUnavailable
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import Fault, WriteKind
from tests.operations.loading import Creating, gct_text


@pytest.fixture(params=[True, False], ids=["own", "hosted"])
def creating(request: pytest.FixtureRequest, tmp_path: Path) -> Creating:
    return Creating(tmp_path, FakeCatalog(enforce_versions=request.param))


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_a_row_becomes_a_dataset(creating: Creating, barrier: bool) -> None:
    files = creating.files
    files.gct("one.gct")
    files.file("report.html", "<html>")
    files.file("notes.txt", "notes")
    files.file("one.json", '{"organism": "human", "sample": {"tissue": "liver"}}')
    listed = '[{""path"": ""notes.txt""; ""tag"": ""why""; ""link"": true}]'.replace(";", ",")
    manifest = files.sheet(
        "dataset_id|data_type|data|metadata_file|metadata.sample.tissue|study_id|file.r.html|"
        "files:json\n"
        f'GSE1|Bulk|one.gct|one.json|lung|PMID1|report.html|"{listed}"\n'
    )
    ended = creating.create(manifest, barrier=barrier)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    record, metadata = creating.standing("GSE1")
    assert metadata == {"organism": "human", "sample": {"tissue": "lung"}}
    assert (record.data_type, record.data_format, record.study_id) == ("Bulk", "gct", "PMID1")
    assert creating.content(record.data_location) == gct_text().encode()
    html, notes = sorted(creating.fake.files(DatasetId("GSE1")), key=lambda file: file.file_format)
    assert (html.file_name, html.file_format, html.tag) == ("r.html", "html", None)
    assert (notes.file_name, notes.tag) == ("notes.txt", "why")
    assert notes.derived_from == record.data_location
    assert html.derived_from is None
    assert ended.rows["GSE1"].version_after == record.version_id


def test_every_problem_of_a_row_is_named_at_once_with_its_line(creating: Creating) -> None:
    files = creating.files
    files.file("broken.gct", "#1.2\n2\t1\nName\tDescription\ts1\ng1\tna\t0.5\ng1\tna\n")
    files.file("list.json", "[1]")
    manifest = files.sheet(
        "dataset_id|data|data_type|metadata_file|study_id|file.a.txt|file.b.unknown\n"
        "GSE1|broken.gct||list.json|no study|gone.txt|broken.gct\n"
    )
    ended = creating.create(manifest)
    assert ended.states() == {"GSE1": "invalid"}
    reasons = ended.rows["GSE1"].reasons
    assert all(one.startswith("load.csv line 2: ") for one in reasons)
    said = "\n".join(reasons)
    for expected in (
        "data_type",
        "list.json: expected a JSON object",
        "Cannot use 'no study' as study_id",
        "broken.gct",
        "g1",
        "gone.txt, found nothing",
        "b.unknown",
    ):
        assert expected in said, f"{expected!r} is missing in:\n{said}"
    assert creating.fake.transfers == []
    assert creating.fake.writes == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.h5ad", gct_text(), "expected h5ad, found gct"),
        ("x.gct", "a,b\n1,2\n", "found neither GCT text nor HDF5"),
        ("x.csv", gct_text(), "expected csv, found GCT text"),
        ("x.csv", "", "found an empty file"),
        ("x.csv.gz", "a,b\n", "expected csv+gzip"),
        ("x.gct", gct_text(("s1", "s1")), "'s1'"),
        ("x.gct", gct_text()[:-12], "x.gct"),
        ("x.strange", "a", "the format of 'x.strange' cannot be told"),
    ],
    ids=["h5ad", "gct", "csv", "empty", "gzip", "samples", "cut", "name"],
)
def test_a_file_that_is_not_what_it_claims_is_refused(
    creating: Creating, name: str, content: str, expected: str
) -> None:
    creating.files.file(name, content)
    manifest = creating.files.manifest({"dataset_id": "GSE1", "data_type": "Bulk", "data": name})
    ended = creating.create(manifest)
    assert ended.states() == {"GSE1": "invalid"}
    assert expected in ended.reasons("GSE1")
    assert creating.fake.transfers == []


def test_an_explicit_format_says_what_a_name_does_not(creating: Creating) -> None:
    creating.files.file("x.strange", "a")
    manifest = creating.files.manifest(
        {"dataset_id": "GSE1", "data_type": "Bulk", "data": "x.strange", "data_format": "mtx"}
    )
    ended = creating.create(manifest)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    record, _ = creating.standing("GSE1")
    assert record.data_format == "mtx"
    assert record.data_location.partition("?")[0].endswith("GSE1.strange")


def test_the_samples_of_file_and_metadata_must_agree(creating: Creating) -> None:
    files = creating.files
    files.gct("one.gct", ("s1", "s2", "s3"))
    rows: dict[str, JsonObject] = {
        "right": {"sample_ids": ["s3", "s1", "s2"]},
        "silent": {"other": ["x"]},
        "wrong": {"sample_ids": ["s1", "s4"]},
        "numbers": {"sample_ids": [{"id": 1}]},
    }
    listed: list[JsonObject] = [
        {"dataset_id": name, "data_type": "Bulk", "data": "one.gct", "metadata": metadata}
        for name, metadata in rows.items()
    ]
    manifest = files.manifest(*listed)
    ended = creating.create(manifest)
    states = {"right": "applied", "silent": "applied", "wrong": "invalid", "numbers": "invalid"}
    assert ended.states() == states
    assert "s4 only in the metadata, s2, s3 only in the file" in ended.reasons("wrong")
    assert creating.create(manifest, existing="skip", sample_field="").states() == {
        "right": "skipped", "silent": "skipped", "wrong": "applied", "numbers": "applied"
    }  # fmt: skip


def test_defaults_for_rows_that_leave_it_open(creating: Creating) -> None:
    creating.files.gct("one.gct")
    manifest = creating.files.manifest(
        {"dataset_id": "A", "data": "one.gct"},
        {"dataset_id": "B", "data": "one.gct", "data_type": "Own", "study_id": None},
    )
    ended = creating.create(manifest, data_type="Common", study_id="S1")
    assert ended.states() == {"A": "applied", "B": "applied"}
    first, second = creating.standing("A")[0], creating.standing("B")[0]
    assert (first.data_type, first.study_id) == ("Common", "S1")
    assert (second.data_type, second.study_id) == ("Own", None)


# -- what is there already --------------------------------------------------------------------


def _one(creating: Creating, **changed: JsonValue) -> Path:
    creating.files.gct("one.gct")
    row: JsonObject = {
        "dataset_id": "GSE1",
        "data_type": "Bulk",
        "data": "one.gct",
        "metadata": {"organism": "human"},
        "study_id": "S1",
        "files": [
            {"path": "notes.txt", "tag": "why", "link": True},
            {"path": "report.html"},
        ],
    }
    creating.files.file("notes.txt", "notes " * 300)
    creating.files.file("report.html", "<html>" * 300)
    return creating.files.manifest({**row, **changed})


def test_an_existing_id_fails_or_is_skipped(creating: Creating) -> None:
    manifest = _one(creating)
    creating.create(manifest)
    before, sent = creating.standing("GSE1"), len(creating.fake.transfers)
    failed = creating.create(manifest)
    assert failed.states() == {"GSE1": "invalid"}
    assert "exists already" in failed.reasons("GSE1")
    assert before[0].version_id in failed.reasons("GSE1")
    assert creating.create(manifest, existing="skip").states() == {"GSE1": "skipped"}
    assert creating.standing("GSE1") == before
    assert len(creating.fake.transfers) == sent


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_the_same_again_writes_nothing(creating: Creating, barrier: bool) -> None:
    manifest = _one(creating)
    first = creating.create(manifest, existing="update-if-different", barrier=barrier)
    assert first.states() == {"GSE1": "applied"}, first.reasons("GSE1")
    writes, sent = len(creating.fake.writes), len(creating.fake.transfers)
    again = creating.create(manifest, existing="update-if-different", barrier=barrier)
    assert again.states() == {"GSE1": "unchanged"}
    assert (len(creating.fake.writes), len(creating.fake.transfers)) == (writes, sent)


def test_update_makes_a_version_of_the_same_without_sending_data_again(
    creating: Creating,
) -> None:
    manifest = _one(creating)
    creating.create(manifest)
    before, sent = creating.standing("GSE1"), len(creating.fake.transfers)
    ended = creating.create(manifest, existing="update")
    assert ended.states() == {"GSE1": "applied"}
    after = creating.standing("GSE1")
    assert after[0].version_id != before[0].version_id
    assert after[0].data_location == before[0].data_location
    assert len(creating.fake.transfers) == sent
    assert len(creating.fake.files(DatasetId("GSE1"))) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"organism": "mouse"}},
        {"data_type": "Other"},
        {"study_id": "S2"},
        {"study_id": None},
    ],
    ids=["metadata", "data type", "study", "no study"],
)
def test_only_what_differs_is_written(creating: Creating, changed: dict[str, JsonValue]) -> None:
    creating.create(_one(creating))
    sent = len(creating.fake.transfers)
    files = creating.fake.files(DatasetId("GSE1"))
    ended = creating.create(_one(creating, **changed), existing="update-if-different")
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    record, metadata = creating.standing("GSE1")
    wanted = {"metadata": {"organism": "human"}, "data_type": "Bulk", "study_id": "S1", **changed}
    assert wanted == {
        "metadata": metadata, "data_type": record.data_type, "study_id": record.study_id
    }  # fmt: skip
    assert len(creating.fake.transfers) == sent
    assert creating.fake.files(DatasetId("GSE1")) == files


def test_new_data_takes_linked_files_with_it_and_they_come_back(creating: Creating) -> None:
    manifest = _one(creating)
    creating.create(manifest)
    creating.fake.add_file("GSE1", "qc.pdf", linked=True, tag="mine")
    before = {file.file_name: file for file in creating.fake.files(DatasetId("GSE1"))}
    creating.files.gct("one.gct", first=7.5)
    ended = creating.create(manifest, existing="update-if-different", barrier=True)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    planned = ended.rows["GSE1"].planned
    assert planned is not None
    assert planned.side_effects == (
        "file 'notes.txt' is linked to the data that is replaced: it is attached again",
        "file 'qc.pdf' is linked to the data that is replaced: the service deletes it",
    )
    kept = {file.file_name: file for file in planned.files_before}
    assert kept.keys() == {"notes.txt", "qc.pdf"}
    assert (kept["qc.pdf"].tag, kept["qc.pdf"].linked) == ("mine", True)
    assert kept["qc.pdf"].file_location == before["qc.pdf"].file_location
    assert planned.not_recoverable == ()
    record, _ = creating.standing("GSE1")
    assert creating.content(record.data_location) == gct_text(first=7.5).encode()
    after = {file.file_name: file for file in creating.fake.files(DatasetId("GSE1"))}
    assert after.keys() == {"notes.txt", "report.html"}
    assert after["notes.txt"].derived_from == record.data_location
    assert after["notes.txt"].file_location == before["notes.txt"].file_location
    assert after["report.html"] == before["report.html"]


def test_a_linked_file_whose_object_is_gone_is_said_to_be_lost(creating: Creating) -> None:
    manifest = _one(creating)
    creating.create(manifest)
    lost = creating.fake.add_file("GSE1", "qc.pdf", linked=True)
    creating.fake.objects.lose(lost.file_location)
    creating.files.gct("one.gct", first=7.5)
    ended = creating.create(manifest, existing="update-if-different", barrier=True)
    planned = ended.rows["GSE1"].planned
    assert planned is not None
    assert "qc.pdf" in "".join(planned.not_recoverable)


def test_another_tag_alone_needs_no_upload(creating: Creating) -> None:
    creating.create(_one(creating))
    sent = len(creating.fake.transfers)
    tagged = _one(creating, files=[{"path": "report.html", "tag": "new"}])
    ended = creating.create(tagged, existing="update-if-different")
    assert ended.states() == {"GSE1": "applied"}
    planned = ended.rows["GSE1"].planned
    assert planned is not None
    assert (planned.wanted, [file.tag for file in planned.files_before]) == (None, [None])
    assert len(creating.fake.transfers) == sent
    found = {file.file_name: file.tag for file in creating.fake.files(DatasetId("GSE1"))}
    assert found == {"notes.txt": "why", "report.html": "new"}


def test_a_deleted_id_lives_again(creating: Creating) -> None:
    old = creating.fake.add("GSE1", {"organism": "human"}, data=gct_text().encode())
    creating.fake.remove("GSE1")
    ended = creating.create(_one(creating), run={"verify": "full"})
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    planned = ended.rows["GSE1"].planned
    assert planned is not None
    assert (planned.seen, planned.ended) == (None, old.version_id)
    assert ended.rows["GSE1"].version_after != old.version_id


# -- objects of the atlas ---------------------------------------------------------------------


def test_an_object_of_the_atlas_is_referred_to(creating: Creating) -> None:
    key = ObjectKey(DatasetId("elsewhere"), extension=".gct")
    uri = creating.fake.put_object(key, gct_text().encode())
    bare = uri.partition("?")[0]
    side = creating.fake.put_object(ObjectKey(DatasetId("x"), file_name="a.txt"), b"text")
    manifest = creating.files.manifest(
        {"dataset_id": "A", "data_type": "Bulk", "data": bare, "file.a.txt": side,
         "metadata": {"sample_ids": ["s1", "s2"]}},
        {"dataset_id": "B", "data_type": "Bulk", "data": bare.replace(".gct", "-no.gct")},
    )  # fmt: skip
    ended = creating.create(manifest)
    assert ended.states() == {"A": "applied", "B": "invalid"}, ended.reasons("A")
    assert "is no object of this atlas" in ended.reasons("B")
    assert creating.standing("A")[0].data_location == uri
    assert [file.file_location for file in creating.fake.files(DatasetId("A"))] == [side]
    assert creating.fake.transfers == []
    again = creating.create(manifest, existing="update-if-different")
    assert again.states() == {"A": "unchanged", "B": "invalid"}


# -- races and lost things ----------------------------------------------------------------------


@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
def test_a_lost_race_for_an_id_names_what_is_left_in_the_store(
    creating: Creating, barrier: bool
) -> None:
    manifest = _one(creating, files=[])
    theirs: list[str] = []

    def somebody_else() -> None:
        theirs.append(creating.fake.add("GSE1", {"theirs": True}).version_id)

    creating.fake.before_write("GSE1", somebody_else, kind=WriteKind.CREATE)
    ended = creating.create(manifest, barrier=barrier)
    assert ended.states() == {"GSE1": "drifted"}, ended.reasons("GSE1")
    uploaded = [call.location for call in creating.fake.transfers]
    assert len(uploaded) == 1
    assert uploaded[0] in ended.reasons("GSE1")
    record, metadata = creating.standing("GSE1")
    assert (record.version_id, metadata) == (theirs[0], {"theirs": True})


def test_an_id_taken_between_plan_and_apply_costs_no_upload(creating: Creating) -> None:
    request = creating.request(_one(creating), barrier=True)
    with creating.rig.session(request) as session:
        session.freeze()
        session.plan()
    creating.fake.add("GSE1", {"theirs": True})
    ended = creating.carry_out(request)
    assert ended.states() == {"GSE1": "drifted"}
    assert creating.fake.transfers == []
    assert creating.standing("GSE1")[1] == {"theirs": True}


def test_a_file_edited_between_plan_and_apply_is_refused(creating: Creating) -> None:
    request = creating.request(_one(creating), barrier=True)
    with creating.rig.session(request) as session:
        session.freeze()
        session.plan()
    creating.files.gct("one.gct", first=9.5)
    ended = creating.carry_out(request)
    assert ended.states() == {"GSE1": "failed"}
    assert "is not the file that was planned" in ended.reasons("GSE1")
    assert creating.fake.writes == []
    assert creating.fake.transfers == []


def test_a_linked_file_that_came_after_the_plan_is_not_lost(creating: Creating) -> None:
    manifest = _one(creating)
    creating.create(manifest)
    creating.files.gct("one.gct", first=7.5)
    request = creating.request(manifest, barrier=True, existing="update-if-different")
    with creating.rig.session(request) as session:
        session.freeze()
        session.plan()
    creating.fake.add_file("GSE1", "qc.pdf", linked=True)
    ended = creating.carry_out(request)
    assert ended.states() == {"GSE1": "drifted"}
    assert "qc.pdf" in ended.reasons("GSE1")
    assert "qc.pdf" in {file.file_name for file in creating.fake.files(DatasetId("GSE1"))}


@pytest.mark.parametrize("kind", [WriteKind.CREATE, WriteKind.ATTACH])
@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
def test_a_lost_answer_is_settled(creating: Creating, fault: Fault, kind: WriteKind) -> None:
    manifest = _one(creating)
    creating.fake.fail_write(fault, "GSE1", kind=kind)
    ended = creating.create(manifest)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    record, metadata = creating.standing("GSE1")
    assert metadata == {"organism": "human"}
    assert len(creating.fake.versions(DatasetId("GSE1"))) == 1
    assert ended.rows["GSE1"].version_after == record.version_id
    assert len(creating.fake.files(DatasetId("GSE1"))) == 2


def test_a_lost_answer_is_no_version_of_an_earlier_life(creating: Creating) -> None:
    """The same manifest created it before: its old version holds exactly what is wanted."""
    manifest = _one(creating, files=[])
    creating.create(manifest)
    old = creating.standing("GSE1")[0].version_id
    creating.fake.remove("GSE1")
    creating.fake.fail_write(Fault.LOST_REQUEST, "GSE1", kind=WriteKind.CREATE)
    ended = creating.create(manifest)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")
    assert creating.standing("GSE1")[0].version_id != old


def test_the_store_fails_for_a_while(creating: Creating) -> None:
    manifest = _one(creating)
    creating.fake.fail_store(StorageUnavailable("the object store is away"), "GSE1", times=2)
    assert creating.create(manifest).states() == {"GSE1": "applied"}


def test_throttled_and_locked(creating: Creating) -> None:
    manifest = _one(creating)
    creating.fake.fail_write(Fault.THROTTLED, "GSE1", retry_after=0.05)
    creating.fake.fail_write(Fault.LOCKED, "GSE1", kind=WriteKind.ATTACH)
    ended = creating.create(manifest)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")


def test_a_refused_upload_is_named(creating: Creating) -> None:
    manifest = _one(creating)
    refused = StorageError("the object store refuses: quota exceeded")
    creating.fake.fail_store(refused, "GSE1")
    ended = creating.create(manifest)
    assert ended.states() == {"GSE1": "failed"}
    assert "quota exceeded" in ended.reasons("GSE1")
    assert creating.fake.writes == []


def test_what_failed_is_created_from_wherever_the_retry_runs(
    creating: Creating, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = _one(creating)
    (creating.files.folder / "one.gct").rename(creating.files.folder / "away.gct")
    first = creating.create(manifest)
    assert first.states() == {"GSE1": "invalid"}
    (creating.files.folder / "away.gct").rename(creating.files.folder / "one.gct")
    manifest.unlink()
    monkeypatch.chdir(tmp_path)
    request = creating.request(manifest)
    retried = request.model_copy(update={"selection": Selection(failures_of=first.summary.run_id)})
    ended = creating.carry_out(retried)
    assert ended.states() == {"GSE1": "applied"}, ended.reasons("GSE1")


def test_no_manifest_creates_nothing(creating: Creating) -> None:
    request = creating.request(Path("x.csv")).model_copy(
        update={"selection": Selection(ids=("GSE1",))}
    )
    with pytest.raises(InvalidInput, match="give --manifest"):
        creating.rig.run(request)
