"""What requests may say, and how precisely the rest is refused."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from polly_core.errors import BadRequest, Conflict
from polly_core.models.catalog import DatasetId
from polly_core.server import documents
from polly_core.server.documents import (
    check_id,
    parse_attach,
    parse_create,
    parse_token_request,
    parse_update,
)

ABSENT: Any = object()


def dataset_body(where: str = "", value: Any = ABSENT) -> bytes:
    """A good create body, with one member (``a.b.c``) replaced or left out."""
    body: dict[str, Any] = {
        "data": {
            "type": "datasets",
            "id": "GSE1",
            "attributes": {
                "data_type": "Bulk RNAseq",
                "data_format": "gct",
                "data_s3_uri": "s3://b/9/x",
                "metadata": {"a": 1},
            },
        },
        "meta": {"ingestion_params": None},
    }
    return changed(body, where, value)


def changed(body: dict[str, Any], where: str, value: Any) -> bytes:
    if where:
        *path, last = where.split(".")
        place = body
        for name in path:
            place = place[name]
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return json.dumps(body).encode()


def update(body: bytes) -> documents.UpdateRequest:
    return parse_update(body, DatasetId("GSE1"))


def refusal(parse: Callable[[bytes], object], body: bytes) -> str:
    with pytest.raises(BadRequest) as refused:
        parse(body)
    return refused.value.detail


@pytest.mark.parametrize(
    ("where", "value", "complaint"),
    [
        ("data", ABSENT, "body.data: expected an object, found nothing"),
        ("data", None, "body.data: expected an object, found null"),
        ("data", [1], "body.data: expected an object, found a list"),
        ("data.type", ABSENT, "body.data.type: expected a string, found nothing"),
        ("data.id", ABSENT, "body.data.id: expected an id (a string), found nothing"),
        ("data.id", True, "body.data.id: expected an id (a string), found true"),
        ("data.id", 1.5, "body.data.id: expected an id (a string), found a number"),
        ("data.attributes", ABSENT, "body.data.attributes: expected an object, found nothing"),
        (
            "data.attributes.data_type",
            ABSENT,
            "body.data.attributes.data_type: expected a string, found nothing",
        ),
        (
            "data.attributes.data_type",
            None,
            "body.data.attributes.data_type: expected a string, found null",
        ),
        (
            "data.attributes.data_s3_uri",
            {},
            "body.data.attributes.data_s3_uri: expected a string, found an object",
        ),
        (
            "data.attributes.data_format",
            "\ud800",
            "body.data.attributes.data_format: expected whole characters, found a string",
        ),
        (
            "data.attributes.metadata",
            None,
            "body.data.attributes.metadata: expected an object, found null",
        ),
        (
            "data.attributes.metadata",
            "{}",
            "body.data.attributes.metadata: expected an object, found a string",
        ),
        ("meta", [], "body.meta: expected an object or null, found a list"),
        (
            "meta.ingestion_params",
            "high",
            "meta.ingestion_params: expected an object or null, found a string",
        ),
        (
            "meta.ingestion_params",
            {"priority": "urgent"},
            "ingestion_params.priority: expected one of low, medium, high, found 'urgent'",
        ),
        (
            "meta.ingestion_params",
            {"priority": 1},
            "ingestion_params.priority: expected a string, found a number",
        ),
        (
            "meta.ingestion_params",
            {"ingestion_run_id": 7},
            "ingestion_params.ingestion_run_id: expected a string, found a number",
        ),
        (
            "meta.ingestion_params",
            {"x": ["\ud800"]},
            "ingestion_params: expected whole characters in every string",
        ),
    ],
)
def test_complaints_name_the_member_what_was_expected_and_found(
    where: str, value: Any, complaint: str
) -> None:
    assert refusal(parse_create, dataset_body(where, value)) == complaint


@pytest.mark.parametrize("name", ["data_type", "data_format", "data_s3_uri", "metadata"])
def test_an_update_may_leave_out_anything_but_only_the_study_may_be_null(name: str) -> None:
    request = update(dataset_body(f"data.attributes.{name}", ABSENT))
    assert getattr(request, name) is None
    assert request.makes_version
    complaint = refusal(update, dataset_body(f"data.attributes.{name}", None))
    assert complaint.endswith("found null")


def test_a_study_that_is_null_differs_from_one_that_is_absent() -> None:
    assert not update(dataset_body()).sets_study
    left = update(dataset_body("data.attributes.study_id", None))
    assert left.sets_study
    assert left.study_id is None


def test_no_attributes_at_all_make_no_version() -> None:
    assert not update(dataset_body("data.attributes", {})).makes_version
    assert not update(dataset_body("data.attributes", {"study_id": "S"})).makes_version


def test_empty_metadata_is_metadata() -> None:
    assert update(dataset_body("data.attributes.metadata", {})).metadata == b"{}"


@pytest.mark.parametrize("parse", [parse_create, update, parse_attach, parse_token_request])
def test_another_resource_is_a_conflict(parse: Callable[[bytes], object]) -> None:
    with pytest.raises(Conflict, match=r"data\.type: expected '.+', found 'nonsense'"):
        parse(dataset_body("data.type", "nonsense"))


def test_meta_may_be_missing_and_hold_anything_else() -> None:
    assert parse_create(dataset_body("meta")).ingestion.params is None
    assert parse_create(dataset_body("meta", None)).ingestion.params is None
    assert parse_create(dataset_body("meta", {"x": [1], "ingestion_params": {}})).ingestion == (
        documents.IngestionRequest(params={})
    )


def test_ingestion_parameters_are_kept_as_given() -> None:
    params = {"priority": "low", "ingestion_run_id": "r", "file_metadata": True, "other": [1.5]}
    request = parse_create(dataset_body("meta.ingestion_params", params))
    assert request.ingestion == documents.IngestionRequest(run_id="r", params=params)


def test_the_expected_version_is_text_or_null() -> None:
    assert update(dataset_body("meta", {"expected_version_id": "v"})).expected_version_id == "v"
    assert update(dataset_body("meta", {"expected_version_id": None})).expected_version_id is None
    complaint = refusal(update, dataset_body("meta", {"expected_version_id": 5}))
    assert complaint == "meta.expected_version_id: expected a string, found a number"


@pytest.mark.parametrize("text", ["GSE1", "a", "-", "_", "0", "x" * 255, "9"])
def test_ids(text: str) -> None:
    assert check_id(text, "id") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 256,
        "a b",
        "a/b",
        "..",
        "a.b",
        "é",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "a\n",
        "a\x00",
        "*",
        "%41",
    ],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(BadRequest, match="dataset id: expected 1 to 255 ASCII letters"):
        check_id(text, "dataset id")


def test_long_nonsense_is_not_repeated_at_length() -> None:
    with pytest.raises(BadRequest) as refused:
        check_id("ü" * 100_000, "id")
    assert len(refused.value.detail) < 250


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({}, "body.data.attributes.omixatlas_id: expected an id (a string), found nothing"),
        (
            {"omixatlas_id": None},
            "body.data.attributes.omixatlas_id: expected an id (a string), found null",
        ),
        ({"omixatlas_id": "9/"}, "body.data.attributes.omixatlas_id: expected 1 to 255"),
        (
            {"omixatlas_id": 9, "copy_dest_omixatlas_id": []},
            "body.data.attributes.copy_dest_omixatlas_id: expected an id (a string), found a list",
        ),
    ],
)
def test_token_requests_name_atlases(attributes: dict[str, Any], complaint: str) -> None:
    body = {"data": {"type": "session-tokens", "attributes": attributes}}
    assert refusal(parse_token_request, json.dumps(body).encode()).startswith(complaint)


def test_an_absent_destination_is_the_normal_form() -> None:
    body = {"data": {"type": "session-tokens", "attributes": {"omixatlas_id": 9}}}
    request = parse_token_request(json.dumps(body).encode())
    assert (request.source, request.destination) == ("9", None)


def test_delete_parameters_may_carry_a_run() -> None:
    params = {"ingestion_params": {"ingestion_run_id": "r"}, "expected_version_id": "v"}
    request = documents.parse_delete(json.dumps(params))
    assert request.expected_version_id == "v"
    assert request.ingestion.run_id == "r"
    assert documents.parse_delete(None) == documents.DeleteRequest()
    with pytest.raises(BadRequest, match="params is not JSON"):
        documents.parse_delete(quote("{}"))
