"""The ports over HTTP: what they send, and what they make of answers that are no good."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from polly_core.catalog.connect import Connected, Connection, connect
from polly_core.catalog.ports import ObjectKey, Ports, Writer
from polly_core.catalog.reader import HttpReader
from polly_core.errors import (
    AccessDenied,
    CatalogError,
    Conflict,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    PayloadTooLarge,
    ReadFailed,
    RepositoryLocked,
    RequestRejected,
    Throttled,
    Unavailable,
    Unprocessable,
)
from polly_core.models.catalog import (
    AtlasId,
    DatasetChange,
    DatasetId,
    NewDataset,
    NewFile,
    RunId,
    StudyId,
    VersionId,
    WriteStamp,
)
from tests.support.atlas import RunningAtlas
from tests.transport.stub import LOST, Reply, Stub, Waits, dataset, error, retrier, serving, tokens

ONE = DatasetId("GSE1")
STAMP = WriteStamp(run_id=RunId("run-1"))
CHANGE = DatasetChange(metadata={"n": 1})
NEW = NewDataset(data_type="T", metadata={"n": 1}, data_s3_uri="s3://b/k", data_format="gct")
FILE = NewFile(file_name="a#1.csv", file_s3_uri="s3://b/k", file_format="csv")
FULL = WriteStamp(
    run_id=RunId("r"),
    priority="low",
    flags={"data_required": True, "col_metadata": False},
    expected_version_id=VersionId("v"),
)
FULL_MEMBERS = {
    "ingestion_params": {
        "ingestion_run_id": "r",
        "priority": "low",
        "data_required": True,
        "col_metadata": False,
    },
    "expected_version_id": "v",
}
WRITES: dict[str, Callable[[Writer], object]] = {
    "update": lambda writer: writer.update(ONE, CHANGE, FULL),
    "create": lambda writer: writer.create(ONE, NEW, FULL),
    "trigger": lambda writer: writer.trigger(ONE, FULL),
    "delete": lambda writer: writer.delete(ONE, FULL),
    "attach": lambda writer: writer.attach(ONE, FILE),
    "detach": lambda writer: writer.detach(ONE, "a#1.csv"),
}
EVERY_WRITE = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def ports(stub: Stub, waits: Waits | None = None) -> Connected:
    connection = Connection(
        api_url=stub.url, api_key=SecretStr("k"), atlas_id=AtlasId("9"), read_timeout=2.0
    )
    return connect(connection, retrier=retrier(waits or Waits()))


@pytest.mark.parametrize(
    ("change", "stamp", "attributes", "meta"),
    [
        (
            CHANGE,
            STAMP,
            {"metadata": {"n": 1}},
            {"ingestion_params": {"ingestion_run_id": "run-1"}},
        ),
        (
            DatasetChange(data_type="T", study_id=None),
            WriteStamp(run_id=RunId("r"), priority="low", expected_version_id=VersionId("v")),
            {"data_type": "T", "study_id": None},
            {
                "ingestion_params": {"ingestion_run_id": "r", "priority": "low"},
                "expected_version_id": "v",
            },
        ),
        (DatasetChange(), STAMP, {}, {"ingestion_params": {"ingestion_run_id": "run-1"}}),
    ],
)
def test_only_members_that_were_set_are_sent_with_the_stamp(
    change: DatasetChange, stamp: WriteStamp, attributes: object, meta: object
) -> None:
    with serving(Reply(200, {"data": dataset()})) as stub:
        record = ports(stub).writer.update(ONE, change, stamp)
    assert record.dataset_id == "GSE1"
    (asked,) = stub.asked
    assert (asked.method, asked.path) == ("PATCH", "/repositories/9/datasets/GSE1")
    assert json.loads(asked.body) == {
        "data": {"type": "datasets", "id": "GSE1", "attributes": attributes},
        "meta": meta,
    }


def test_a_creation_carries_the_stamp_and_no_study_unless_there_is_one() -> None:
    answer = Reply(201, {"data": dataset()})
    with serving(answer, answer) as stub:
        writer = ports(stub).writer
        writer.create(ONE, NEW, FULL)
        writer.create(ONE, NEW.model_copy(update={"study_id": "S"}), STAMP)
    first, second = (json.loads(asked.body) for asked in stub.asked)
    assert [(a.method, a.path) for a in stub.asked] == [("POST", "/repositories/9/datasets")] * 2
    attributes = {
        "data_type": "T",
        "metadata": {"n": 1},
        "data_s3_uri": "s3://b/k",
        "data_format": "gct",
    }
    data = {"type": "datasets", "id": "GSE1"}
    assert first == {"data": {**data, "attributes": attributes}, "meta": FULL_MEMBERS}
    assert second["data"] == {**data, "attributes": {**attributes, "study_id": "S"}}


def test_an_ingestion_is_asked_for_with_nothing_but_the_stamp() -> None:
    with serving(Reply(200, {"data": dataset()})) as stub:
        ports(stub).writer.trigger(ONE, FULL)
    (asked,) = stub.asked
    assert (asked.method, asked.path) == ("PATCH", "/repositories/9/datasets/GSE1")
    data = {"type": "datasets", "id": "GSE1", "attributes": {}}
    assert json.loads(asked.body) == {"data": data, "meta": FULL_MEMBERS}


def test_a_deletion_carries_the_stamp_in_its_address() -> None:
    with serving(Reply(204)) as stub:
        ports(stub).writer.delete(ONE, FULL)
    (asked,) = stub.asked
    address = urlsplit(asked.path)
    assert (asked.method, address.path) == ("DELETE", "/repositories/9/datasets/GSE1")
    assert asked.body == b""
    (params,) = parse_qs(address.query)["params"]
    assert json.loads(params) == FULL_MEMBERS


def test_files_are_attached_and_detached_without_a_stamp() -> None:
    attributes = {
        "dataset_id": "GSE1",
        "omixatlas_id": "9",
        "file_name": "a#1.csv",
        "file_format": "csv",
        "file_location": "s3://b/k?versionId=1",
        "created_at": 1,
    }
    made = {"data": {"type": "supplementary_files", "id": "a#1.csv", "attributes": attributes}}
    with serving(Reply(201, made), Reply(204)) as stub:
        writer = ports(stub).writer
        record = writer.attach(ONE, FILE)
        writer.detach(ONE, "a#1.csv")
    assert (record.file_location, record.tag) == ("s3://b/k?versionId=1", None)
    attached, detached = stub.asked
    root = "/repositories/9/datasets/GSE1/supplementary_files"
    assert (attached.method, attached.path) == ("POST", root)
    sent = {
        "file_name": "a#1.csv",
        "file_s3_uri": "s3://b/k",
        "file_format": "csv",
        "tag": None,
        "source_version_id": None,
    }
    assert json.loads(attached.body) == {
        "data": {"type": "supplementary_files", "attributes": sent}
    }
    assert (detached.method, detached.path) == ("DELETE", f"{root}/a%231.csv")


@EVERY_WRITE
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (error(429, Retry_After="3"), Throttled),
        (error(500), OutcomeUnknown),
        (error(503), OutcomeUnknown),
        (error(503, Retry_After="3"), Unavailable),
        (error(409), Conflict),
        (error(404), NotFound),
        (error(422), Unprocessable),
        (error(413), PayloadTooLarge),
        (error(403, "Repository Locked"), RepositoryLocked),
        (error(403), AccessDenied),
        (LOST, OutcomeUnknown),
        (Reply(200, b'{"data": {', cut=5), OutcomeUnknown),
        (Reply(200, b"<html>"), OutcomeUnknown),
        (Reply(307, None, {"Location": "/elsewhere"}), RequestRejected),
    ],
)
def test_a_write_is_sent_once_and_says_what_became_of_it(
    write: Callable[[Writer], object], bad: Reply, kind: type[CatalogError]
) -> None:
    waits = Waits()
    with serving(bad) as stub, pytest.raises(kind) as caught:
        write(ports(stub, waits).writer)
    assert type(caught.value) is kind
    assert len(stub.asked) == 1
    assert waits.slept == []
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 3.0


@pytest.mark.parametrize(
    "bad",
    [
        Reply(200, {"data": {"id": "GSE1", "attributes": {}}}),
        Reply(200, {"data": None}),
        Reply(204),
    ],
)
@pytest.mark.parametrize("name", ["update", "create", "attach"])
def test_an_answer_that_does_not_say_what_was_made_leaves_it_open(bad: Reply, name: str) -> None:
    with serving(bad) as stub, pytest.raises(OutcomeUnknown):
        WRITES[name](ports(stub).writer)


@pytest.mark.parametrize("answer", [Reply(204), Reply(200), Reply(202, {}), Reply(200, {"a": 1})])
@pytest.mark.parametrize("name", ["trigger", "delete", "detach"])
def test_any_good_answer_will_do_where_nothing_is_read(answer: Reply, name: str) -> None:
    with serving(answer) as stub:
        WRITES[name](ports(stub).writer)
        assert len(stub.asked) == 1


def test_a_key_that_may_only_read_changes_nothing(
    atlas: RunningAtlas, atlas_id: str, tmp_path: Path
) -> None:
    def opened(key: str) -> Connected:
        secret = SecretStr(key)
        return connect(
            Connection(api_url=atlas.api_url, api_key=secret, atlas_id=AtlasId(atlas_id))
        )

    local = tmp_path / "data.gct"
    local.write_text("#1.2\n")
    writing: Ports = opened(atlas.api_key)
    location = writing.store.upload(local, ObjectKey(ONE, extension=".gct"))
    made = writing.writer.create(ONE, NEW.model_copy(update={"data_s3_uri": location}), STAMP)
    reading: Ports = opened(atlas.read_key)
    assert reading.reader.dataset(ONE) == made
    for write in WRITES.values():
        with pytest.raises(AccessDenied):
            write(reading.writer)
    with pytest.raises(AccessDenied):
        reading.store.upload(local, ObjectKey(ONE, extension=".gct"))
    for source in (AtlasId(atlas_id), AtlasId(atlas.new_atlas())):
        with pytest.raises(AccessDenied):
            reading.store.copy(location, ObjectKey(ONE, extension=".x"), atlas_id=source)
    assert reading.reader.dataset(ONE) == made
    reading.close()
    writing.close()


def test_warnings_of_a_write_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    meta = {"warnings": ["file 'a.csv' was deleted", 7], "ingestion": None}
    with serving(Reply(200, {"data": dataset(), "meta": meta})) as stub, caplog.at_level("WARNING"):
        ports(stub).writer.update(ONE, CHANGE, STAMP)
    assert "GSE1" in caplog.text
    assert "a.csv" in caplog.text


@pytest.mark.parametrize(
    "body", [b"<html>", {"data": None}, {"data": {"id": "GSE1"}}, {}, [], {"data": [dataset()]}]
)
def test_an_unreadable_answer_is_a_failed_read(body: object) -> None:
    with serving(Reply(200, body)) as stub, pytest.raises(ReadFailed, match="dataset GSE1"):
        ports(stub).reader.dataset(ONE)


def test_the_id_of_the_resource_wins() -> None:
    odd = {**dataset("other"), "id": "GSE1"}
    with serving(Reply(200, {"data": odd})) as stub:
        assert ports(stub).reader.dataset(ONE).dataset_id == "GSE1"


def test_a_reader_holds_nothing_that_can_write() -> None:
    with serving() as stub:
        reader = ports(stub).reader
        assert isinstance(reader, HttpReader)
        for name in ("post", "patch", "delete", "put"):
            assert not hasattr(reader._session, name)


def test_capabilities_are_asked_for_once() -> None:
    granted = tokens(capabilities=["expected_version_id", "ingestions", "novel"], instance_id="i")
    with serving(Reply(201, granted)) as stub:
        reader = ports(stub).reader
        assert reader.capabilities.expects_version
        assert reader.capabilities.lists_ingestions
        assert reader.catalog.instance_id == "i"
        assert reader.catalog.api_url == stub.url
        assert len(stub.asked) == 1


def test_the_hosted_service_has_no_capabilities() -> None:
    with serving(Reply(201, tokens())) as stub:
        reader = ports(stub).reader
        assert not reader.capabilities.expects_version
        assert reader.ingestions(RunId("r")) == []
        assert reader.catalog.instance_id is None
        assert len(stub.asked) == 1


def test_ids_in_addresses_are_quoted() -> None:
    empty = Reply(200, {"data": []})
    with serving(empty, error(404)) as stub:
        reader = ports(stub).reader
        reader.versions(DatasetId("a?b#c"), include_deleted=True)
        with pytest.raises(CatalogError):
            reader.study(StudyId("ä b"))
        for text in ("..", "a/../b"):
            with pytest.raises(InvalidInput):
                reader.dataset(DatasetId(text))
    assert stub.paths() == [
        "/repositories/9/datasets/a%3Fb%23c/versions?include_deleted=True",
        "/repositories/9/studies/%C3%A4%20b",
    ]


def test_whoever_wants_hears_of_every_failure() -> None:
    heard: list[type[CatalogError]] = []
    with serving(error(429), error(500), Reply(200, {"data": dataset()})) as stub:
        connection = Connection(api_url=stub.url, api_key=SecretStr("k"), atlas_id=AtlasId("9"))
        runner = retrier(Waits(), lambda found, wait: heard.append(type(found)))
        connect(connection, retrier=runner).reader.dataset(ONE)
    assert heard == [Throttled, ReadFailed]


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x"])
def test_an_unusable_address_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(InvalidInput, match="POLLY_API_URL"):
        connect(Connection(api_url=url, api_key=SecretStr("k"), atlas_id=AtlasId("9")))
