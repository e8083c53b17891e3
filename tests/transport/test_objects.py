"""Metadata objects: exact versions, stale credentials, damage, endpoints."""

import gzip
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from polly_core.errors import (
    InvalidInput,
    ObjectMissing,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from polly_core.transport.credentials import Form, Grant
from polly_core.transport.objects import Endpoint, MetadataObjects, parse_metadata
from polly_core.transport.s3uri import S3Uri
from polly_core.transport.transport import Transport, open_transport
from tests.transport.stub import Asked, Reply, Waits, retrier, service, serving, tokens

FORM = Form("9")
OBJECT = "s3://bucket/9/v2/GSE1/.metadata/1.json.gz?versionId=m1"
MODIFIED = {"Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT", "ETag": '"x"'}


def refusal(status: int, code: str) -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message>"
    return Reply(status, f"{body}<AWSAccessKeyId>ASIASTUB</AWSAccessKeyId></Error>")


def put(transport: Transport, atlas_id: str, name: str, content: bytes, folder: Path) -> S3Uri:
    source = folder / "object"
    source.write_bytes(content)
    form = Form(atlas_id)
    grant = transport.credentials.grant(form)
    key = f"{grant.prefix}/v2/GSE1/{name}"
    return transport.uploads.upload(form, source, S3Uri(grant.bucket, key))


def test_exactly_the_version_is_read(
    transport: Transport, module_atlas: str, tmp_path: Path
) -> None:
    form = Form(module_atlas)
    first = put(transport, module_atlas, "m.json.gz", gzip.compress(b'{"n": 1}'), tmp_path)
    second = put(transport, module_atlas, "m.json.gz", gzip.compress(b'{"n": 2}'), tmp_path)
    assert transport.metadata.metadata(form, str(first)) == {"n": 1}
    assert transport.metadata.metadata(form, str(second)) == {"n": 2}
    unpinned = str(first._replace(version_id=None))
    assert transport.metadata.metadata(form, unpinned) == {"n": 2}


@pytest.mark.parametrize(
    "name", ["a b.gz", "a#1.gz", "%41.gz", "ä.gz", "a+b=c@d:e,f.gz", "[1]*?.gz"]
)
def test_odd_keys_are_read(
    transport: Transport, module_atlas: str, tmp_path: Path, name: str
) -> None:
    content = json.dumps({"name": name}).encode()
    uri = put(transport, module_atlas, name, content, tmp_path)
    assert transport.metadata.metadata(Form(module_atlas), str(uri)) == {"name": name}


def test_keys_that_the_fast_reader_cannot_read_are_left_to_the_other(tmp_path: Path) -> None:
    asked: list[tuple[Form, str]] = []

    def fallback(form: Form, location: str) -> bytes:
        asked.append((form, location))
        return b'{"slow": true}'

    with serving(Reply(201, tokens())) as stub:
        credentials = open_transport(service(stub.url)).credentials
        objects = MetadataObjects(credentials, Endpoint(None, {}), fallback=fallback)
        assert objects.metadata(FORM, "s3://b/9//x.json") == {"slow": True}
    assert asked == [(FORM, "s3://b/9//x.json")]


def test_missing_objects_and_versions(
    transport: Transport, module_atlas: str, tmp_path: Path
) -> None:
    uri = put(transport, module_atlas, "there.gz", b"{}", tmp_path)
    form = Form(module_atlas)
    for lost in (uri._replace(key=uri.key + "x"), uri._replace(key=uri.key + "x", version_id=None)):
        with pytest.raises(ObjectMissing, match=r"there\.gzx"):
            transport.metadata.read(form, str(lost))


def test_another_atlas_is_denied(
    transport: Transport, module_atlas: str, atlas_id: str, tmp_path: Path
) -> None:
    uri = put(transport, module_atlas, "own.gz", b"{}", tmp_path)
    with pytest.raises(StorageDenied, match=f"atlas {atlas_id}"):
        transport.metadata.read(Form(atlas_id), str(uri))


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "ExpiredToken", "InvalidToken"])
def test_stale_credentials_are_renewed_once(code: str) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url))
        if len(stub.paths("GET")) == 1:
            return refusal(403, code)
        return Reply(200, gzip.compress(b'{"n": 1}'), MODIFIED)

    with serving(answer=answer) as stub:
        assert open_transport(service(stub.url)).metadata.metadata(FORM, OBJECT) == {"n": 1}
        assert stub.paths() == [
            "/session-tokens",
            "/bucket/9/v2/GSE1/.metadata/1.json.gz?versionId=m1",
            "/session-tokens",
            "/bucket/9/v2/GSE1/.metadata/1.json.gz?versionId=m1",
        ]


def test_credentials_that_are_refused_again_are_an_error_without_secrets() -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/session-tokens":
            return Reply(201, tokens(stub.url))
        return refusal(403, "InvalidAccessKeyId")

    with serving(answer=answer) as stub, pytest.raises(StorageDenied) as caught:
        open_transport(service(stub.url)).metadata.read(FORM, OBJECT)
    assert "endpoint" in str(caught.value)
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "ASIASTUB" not in shown
    assert "very-secret" not in shown


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal(403, "AccessDenied"), StorageDenied),
        (refusal(404, "NoSuchVersion"), ObjectMissing),
        (refusal(400, "InvalidArgument"), StorageError),
        (Reply(301, b""), StorageError),
    ],
)
def test_refusals_have_their_class(reply: Reply, kind: type[StorageError]) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(201, tokens(stub.url)) if asked.path == "/session-tokens" else reply

    with serving(answer=answer) as stub, pytest.raises(kind) as caught:
        open_transport(service(stub.url)).metadata.read(FORM, OBJECT)
    assert type(caught.value) is kind
    assert "ASIASTUB" not in str(caught.value)


def test_a_store_that_is_away_is_unavailable() -> None:
    with serving() as gone:
        nowhere = gone.url
    with serving(Reply(201, tokens(nowhere))) as stub:
        objects = open_transport(service(stub.url), retrier=retrier(Waits())).metadata
        started = time.monotonic()
        with pytest.raises(StorageUnavailable) as caught:
            objects.read(FORM, OBJECT)
        assert time.monotonic() - started < 60
    assert caught.value.retryable
    assert str(caught.value) == (
        f"the object store cannot be reached at {nowhere} for {OBJECT} (atlas 9): Connection "
        "refused; set POLLY_S3_ENDPOINT_URL to the address at which the store is reached"
    )


def test_a_store_that_is_not_where_the_settings_say_names_the_setting() -> None:
    with serving() as gone:
        nowhere = gone.url
    with serving(answer=lambda asked: Reply(201, tokens(stub.url))) as stub:
        settings = replace(service(stub.url), s3_endpoint_url=nowhere)
        transport = open_transport(settings, retrier=retrier(Waits()))
        odd = OBJECT.replace("/v2/", "//")  # The other reader's.
        for location in (OBJECT, odd):
            with pytest.raises(StorageUnavailable) as caught:
                transport.metadata.read(FORM, location)
            text = str(caught.value)
            assert f"at {nowhere} for {location}" in text
            assert "Connection refused; correct POLLY_S3_ENDPOINT_URL, or unset it" in text
            assert "very-secret" not in text


def test_a_store_that_does_not_answer_in_time_says_so() -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(201, tokens(stub.url)) if asked.path == "/session-tokens" else Reply(delay=1)

    with serving(answer=answer) as stub:
        transport = open_transport(service(stub.url, read_timeout=0.2))
        with pytest.raises(StorageUnavailable, match="it timed out"):
            transport.metadata.read(FORM, OBJECT)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"not json", "unreadable"),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-9], "cut off"),
        (gzip.compress(b"[1]", mtime=0), "holds list"),
        (b"", "unreadable"),
        (b"\xff\xfe", "unreadable"),
    ],
)
def test_a_damaged_object_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(StorageError, match=problem) as caught:
        parse_metadata(data, OBJECT)
    assert OBJECT in str(caught.value)


def test_a_location_that_is_no_object_is_refused() -> None:
    with serving() as stub, pytest.raises(InvalidInput):
        open_transport(service(stub.url)).metadata.read(FORM, "https://bucket/x")


def grant(endpoint_url: str | None, region: str | None) -> Grant:
    return Grant(
        form=FORM,
        bucket="b",
        prefix="p",
        access_level=None,
        access_key="a",
        secret_key="s",
        token="t",
        endpoint_url=endpoint_url,
        region=region,
        capabilities=frozenset(),
        instance_id=None,
        renew_at=0,
        usable_until=0,
    )


@pytest.mark.parametrize(
    ("explicit", "token", "environ", "url"),
    [
        ("http://e", "http://t", {"AWS_ENDPOINT_URL_S3": "http://a"}, "http://e"),
        (None, "http://t", {"AWS_ENDPOINT_URL_S3": "http://a"}, "http://t"),
        (None, None, {"AWS_ENDPOINT_URL_S3": "http://a", "AWS_ENDPOINT_URL": "b"}, "http://a"),
        (None, None, {"AWS_ENDPOINT_URL": "http://b"}, "http://b"),
        (None, None, {}, None),
    ],
)
def test_which_endpoint_is_used(
    explicit: str | None, token: str | None, environ: dict[str, str], url: str | None
) -> None:
    assert Endpoint(explicit, environ).url(grant(token, None)) == url


def test_which_region_is_used() -> None:
    environ = {"AWS_DEFAULT_REGION": "eu-west-1"}
    assert Endpoint(None, environ).region(grant(None, "us-west-2")) == "us-west-2"
    assert Endpoint(None, environ).region(grant(None, None)) == "eu-west-1"
    assert Endpoint(None, {}).region(grant(None, None)) is None
