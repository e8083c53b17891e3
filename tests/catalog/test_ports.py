"""The ports over HTTP: what they send, and what they make of answers that are no good."""

import json

import pytest
from pydantic import SecretStr

from polly_core.catalog.connect import Connected, Connection, connect
from polly_core.catalog.reader import HttpReader
from polly_core.errors import (
    CatalogError,
    InvalidInput,
    OutcomeUnknown,
    ReadFailed,
    RepositoryLocked,
    Throttled,
)
from polly_core.models.catalog import (
    AtlasId,
    DatasetChange,
    DatasetId,
    RunId,
    StudyId,
    VersionId,
    WriteStamp,
)
from tests.transport.stub import Reply, Stub, Waits, dataset, error, retrier, serving, tokens

ONE = DatasetId("GSE1")
STAMP = WriteStamp(run_id=RunId("run-1"))
CHANGE = DatasetChange(metadata={"n": 1})


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


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (error(429, Retry_After="3"), Throttled),
        (error(500), OutcomeUnknown),
        (error(403, "Repository Locked"), RepositoryLocked),
        (Reply(200, b"<html>"), OutcomeUnknown),
        (Reply(200, {"data": {"id": "GSE1", "attributes": {}}}), OutcomeUnknown),
        (Reply(204), OutcomeUnknown),
    ],
)
def test_a_write_is_sent_once(bad: Reply, kind: type[CatalogError]) -> None:
    waits = Waits()
    with serving(bad) as stub, pytest.raises(kind) as caught:
        ports(stub, waits).writer.update(ONE, CHANGE, STAMP)
    assert len(stub.asked) == 1
    assert waits.slept == []
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == 3.0


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
