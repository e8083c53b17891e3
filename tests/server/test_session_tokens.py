"""Who gets which credentials."""

import pytest

from polly_core.errors import StorageUnavailable
from polly_core.models.catalog import AtlasId
from polly_core.server.auth import Access
from tests.server.fakes import Issued
from tests.server.house import TestHouse
from tests.server.inprocess import Answer, Caller

NINE = AtlasId("9")


def ask(caller: Caller, source: object, destination: object = None) -> Answer:
    attributes = {"omixatlas_id": source, "copy_dest_omixatlas_id": destination}
    body = {"data": {"type": "session-tokens", "attributes": attributes}}
    return caller.post("/session-tokens", body)


def test_a_writer_may_write_and_a_reader_may_read(house: TestHouse) -> None:
    for caller, level in ((house.writer, "write"), (house.reader, "read")):
        answer = ask(caller, "9")
        assert answer.status == 201
        attributes = answer.document["data"]["attributes"]
        assert attributes["access_level"] == level
        assert (attributes["bucket_name"], attributes["prefix"]) == ("catalog", "9")
        assert "copy_dest_details" not in attributes
    assert house.issuer.calls == [Issued(NINE, True, None), Issued(NINE, False, None)]


@pytest.mark.parametrize("atlas", [9, "9"])
def test_ids_are_taken_as_typed_and_answered_as_text(house: TestHouse, atlas: object) -> None:
    assert ask(house.writer, atlas).document["data"]["id"] == "9"


def test_the_copy_form_reads_one_atlas_and_writes_the_other(house: TestHouse) -> None:
    attributes = ask(house.copier, "9", 17).document["data"]["attributes"]
    assert attributes["prefix"] == "9"
    assert attributes["copy_dest_details"] == {
        "bucket_name": "catalog",
        "prefix": "17",
        "access_level": "write",
    }
    assert house.issuer.calls == [Issued(NINE, False, AtlasId("17"))]


def test_a_copy_within_one_atlas_is_treated_like_any_other(house: TestHouse) -> None:
    assert ask(house.writer, 9, "9").status == 201
    assert house.issuer.calls == [Issued(NINE, False, NINE)]


def test_nothing_is_issued_without_access(house: TestHouse) -> None:
    nine_only = house.caller({"9": Access.WRITE}, "nine only")
    for caller, source, destination, status in (
        (house.writer, "hidden", None, 404),
        (house.writer, "none", None, 404),
        (house.writer, "9", "hidden", 404),
        (nine_only, "17", "9", 404),
        (nine_only, "9", "17", 404),
        (house.copier, "17", "9", 403),
        (house.reader, "9", "9", 403),
    ):
        assert ask(caller, source, destination).status == status
    assert house.issuer.calls == []


def test_the_instance_and_capabilities_are_told(house: TestHouse) -> None:
    attributes = ask(house.reader, "9").document["data"]["attributes"]
    assert attributes["instance_id"] == house.store.instance_id
    assert attributes["capabilities"] == ["expected_version_id", "ingestions"]
    assert attributes["endpoint_url"] == "http://127.0.0.1:9000"


def test_a_server_like_the_hosted_one_tells_neither(house: TestHouse) -> None:
    house.suffer(capabilities=())
    attributes = ask(house.reader, "9").document["data"]["attributes"]
    assert not {"instance_id", "capabilities"} & attributes.keys()


def test_a_store_that_is_away_may_be_asked_again(
    house: TestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(house.issuer, "issue", away)
    answer = ask(house.writer, "9")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
