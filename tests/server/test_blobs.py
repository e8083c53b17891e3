"""Metadata objects and pinned locations, against the real object store."""

import gzip
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from polly_core.errors import (
    InvalidInput,
    ObjectMissing,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from polly_core.models.catalog import AtlasId, DatasetId, VersionId
from polly_core.server.blobs import S3Blobs, parse_uri
from polly_core.server.s3 import S3Access, s3_client
from polly_core.server.seaweed_config import BUCKET
from tests.support.atlas import RunningAtlas
from tests.support.objects import download, store_access, upload

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DATASET = DatasetId("GSE1")
VERSION = VersionId("8c9f4e5e-1c7a-4f0c-9d4e-0a1b2c3d4e5f")


@pytest.fixture(scope="module")
def access(atlas: RunningAtlas) -> S3Access:
    return store_access(atlas.data_dir)


@pytest.fixture(scope="module")
def client(access: S3Access) -> Iterator["S3Client"]:
    client = s3_client(access)
    yield client
    client.close()


@pytest.fixture(scope="module")
def blobs(access: S3Access) -> S3Blobs:
    return S3Blobs(access)


@pytest.fixture
def own(atlas_id: str) -> AtlasId:
    return AtlasId(atlas_id)


def test_metadata_is_a_versioned_gzip_object(
    blobs: S3Blobs, client: "S3Client", own: AtlasId
) -> None:
    document = '{"organism":"Mäuschen","p":6e-9}'.encode()
    uri = blobs.put_metadata(own, DATASET, VERSION, document)
    location = parse_uri(uri)
    assert location.bucket == BUCKET
    assert location.key == f"{own}/v2/GSE1/.metadata/{VERSION}.json.gz"
    assert location.version_id
    found = client.get_object(Bucket=BUCKET, Key=location.key, VersionId=location.version_id)
    stored = found["Body"].read()
    assert gzip.decompress(stored) == document
    assert stored[4:8] == b"\0\0\0\0"
    assert found["ContentType"] == "application/gzip"
    assert not found.get("ContentEncoding")


def test_equal_documents_give_equal_objects_of_their_own(
    blobs: S3Blobs, client: "S3Client", own: AtlasId
) -> None:
    first = blobs.put_metadata(own, DATASET, VERSION, b"{}")
    second = blobs.put_metadata(own, DATASET, VERSION, b"{}")
    assert first != second
    assert download(client, first) == download(client, second)


def test_metadata_can_be_large(blobs: S3Blobs, client: "S3Client", own: AtlasId) -> None:
    document = b'{"abstract":"' + b"x" * 12_000_000 + b'"}'
    uri = blobs.put_metadata(own, DATASET, VERSION, document)
    assert gzip.decompress(download(client, uri)) == document


def test_a_pinned_uri_stays_as_it_is(blobs: S3Blobs, client: "S3Client", own: AtlasId) -> None:
    old = upload(client, f"{own}/v2/GSE1/GSE1.gct", b"old")
    new = upload(client, f"{own}/v2/GSE1/GSE1.gct", b"new")
    assert blobs.pin(own, old) == old
    assert blobs.pin(own, new) == new


def test_without_a_version_the_current_one_is_meant(
    blobs: S3Blobs, client: "S3Client", own: AtlasId
) -> None:
    upload(client, f"{own}/v2/GSE1/GSE1.gct", b"old")
    new = upload(client, f"{own}/v2/GSE1/GSE1.gct", b"new")
    assert blobs.pin(own, new.partition("?")[0]) == new
    assert blobs.pin(own, new.partition("?")[0] + "#fragment") == new


@pytest.mark.parametrize(
    "name",
    [
        "a b.gct",
        "100%.gct",
        "a%2Fb.gct",
        "a+b.gct",
        "ä€😀.gct",
        "a#b.gct",
        "a?b=c&d.gct",
        "a'\"(b).gct",
    ],
)
def test_any_key_is_found_by_its_encoded_form(
    blobs: S3Blobs, client: "S3Client", own: AtlasId, name: str
) -> None:
    key = f"{own}/v2/GSE1/{name}"
    version = client.put_object(Bucket=BUCKET, Key=key, Body=name.encode())["VersionId"]
    pinned = blobs.pin(own, f"s3://{BUCKET}/{quote(key)}")
    assert pinned == f"s3://{BUCKET}/{quote(key)}?versionId={version}"
    assert download(client, pinned) == name.encode()


@pytest.mark.parametrize(
    "missing",
    [
        "/v2/GSE1/none.gct",
        "/v2/GSE1/none.gct?versionId=6715b06cea4d240056457c023cc743b8",
        "/v2/GSE1/GSE1.gct?versionId=6715b06cea4d240056457c023cc743b8",
        "/v2/GSE1/GSE1.gct?versionId=nonsense",
        "/v2/GSE1",
    ],
)
def test_a_missing_object_or_version_is_said(
    blobs: S3Blobs, client: "S3Client", own: AtlasId, missing: str
) -> None:
    upload(client, f"{own}/v2/GSE1/GSE1.gct")
    with pytest.raises(StorageError) as raised:
        blobs.pin(own, f"s3://{BUCKET}/{own}{missing}")
    assert isinstance(raised.value, ObjectMissing), raised.value
    assert missing.partition("?")[0] in str(raised.value)


def test_a_deleted_object_is_missing_but_its_versions_are_not(
    blobs: S3Blobs, client: "S3Client", own: AtlasId
) -> None:
    uri = upload(client, f"{own}/v2/GSE1/GSE1.gct")
    client.delete_object(Bucket=BUCKET, Key=f"{own}/v2/GSE1/GSE1.gct")
    assert blobs.pin(own, uri) == uri
    with pytest.raises(ObjectMissing):
        blobs.pin(own, uri.partition("?")[0])


@pytest.mark.parametrize(
    "uri",
    [
        "s3://{bucket}/{other}/v2/GSE1/GSE1.gct",
        "s3://{bucket}/{own}x/v2/GSE1/GSE1.gct",
        "s3://{bucket}/{upper}/v2/GSE1/GSE1.gct",
        "s3://{bucket}/{own}",
        "s3://other-bucket/{own}/v2/GSE1/GSE1.gct",
        "s3://{bucket}/{own}/../{other}/v2/GSE1/GSE1.gct",
        "s3://{bucket}/{own}/%2e%2e/{other}/v2/GSE1/GSE1.gct",
        "s3://{bucket}/{own}%2F..%2F{other}/v2/GSE1/GSE1.gct",
        "s3://{bucket}/{own}/./v2/GSE1.gct",
        "s3://{bucket}/{own}//v2/GSE1.gct",
        "s3://{bucket}//{own}/v2/GSE1.gct",
        "s3://{bucket}/{own}/v2/GSE1/GSE1.gct.versions/v_1",
        "s3://{bucket}/{own}/v2/GSE1/GSE%00.gct",
        "s3://{bucket}/{own}/v2/GSE1/GSE%0a.gct",
        "s3://{bucket}/{own}/v2/GSE1/GSE%ff.gct",
        "s3://{bucket}/{own}/v2/GSE1/GSE1.gct?versionId=",
        "s3://{bucket}/{own}/v2/GSE1/GSE1.gct?",
        "s3://{bucket}/{own}/v2/GSE1/GSE1.gct?versionId=a&x=b",
        "s3://{bucket}/{own}/v2/GSE1/GSE1.gct?acl",
        "S3://{bucket}/{own}/v2/GSE1/GSE1.gct",
        "https://{bucket}/{own}/v2/GSE1/GSE1.gct",
        "{own}/v2/GSE1/GSE1.gct",
        "s3://{bucket}",
        "s3://",
        "",
    ],
)
def test_anything_but_an_object_of_the_atlas_is_refused(
    atlas: RunningAtlas, blobs: S3Blobs, client: "S3Client", own: AtlasId, uri: str
) -> None:
    other = atlas.new_atlas()
    for prefix in (own, other, f"{own}x", own.upper()):
        upload(client, f"{prefix}/v2/GSE1/GSE1.gct")
    text = uri.format(bucket=BUCKET, own=own, other=other, upper=own.upper())
    with pytest.raises(InvalidInput):
        blobs.pin(own, text)


def test_a_key_that_is_too_long_is_refused(own: AtlasId) -> None:
    with pytest.raises(InvalidInput, match="longer than 1024 bytes"):
        parse_uri(f"s3://{BUCKET}/{own}/" + "ä" * 512)


parts = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=20
).filter(lambda part: part not in (".", "..") and not part.endswith(".versions"))


@given(
    parts=st.lists(parts, min_size=1, max_size=6),
    version=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
)
def test_every_key_survives_its_uri(parts: list[str], version: str | None) -> None:
    key = "/".join(parts)
    uri = f"s3://bucket/{quote(key)}"
    if version is not None:
        uri += f"?versionId={quote(version, safe='')}"
    location = parse_uri(uri)
    assert (location.bucket, location.key, location.version_id) == ("bucket", key, version)
    assert location.text == uri


def test_a_store_out_of_reach_is_unavailable(access: S3Access, own: AtlasId) -> None:
    away = access.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})
    blobs = S3Blobs(away, diagnosis=lambda: "the disk is full")
    with pytest.raises(StorageUnavailable, match=r"GSE1.*the disk is full"):
        blobs.put_metadata(own, DATASET, VERSION, b"{}")
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        blobs.pin(own, f"s3://{BUCKET}/{own}/v2/GSE1/GSE1.gct")


def test_wrong_credentials_are_denied_and_never_shown(access: S3Access, own: AtlasId) -> None:
    secret = "a-very-secret-secret"
    wrong = access.model_copy(update={"secret_key": SecretStr(secret)})
    blobs = S3Blobs(wrong)
    with pytest.raises(StorageDenied) as put:
        blobs.put_metadata(own, DATASET, VERSION, b"{}")
    with pytest.raises(StorageDenied) as pinned:
        blobs.pin(own, f"s3://{BUCKET}/{own}/v2/GSE1/GSE1.gct")
    for error in (put.value, pinned.value):
        assert secret not in str(error)
        assert access.access_key not in str(error)
