"""What issued credentials may do, tried against the real store, and what they may not."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
import urllib3
from botocore.exceptions import ClientError

from polly_core.errors import InvalidInput, StorageUnavailable
from polly_core.models.catalog import AtlasId
from polly_core.server.s3 import S3Access, s3_client, sts_client
from polly_core.server.seaweed import access_of
from polly_core.server.seaweed_config import BUCKET, ROLE_ARN
from polly_core.server.tokens import StsIssuer, session_policy
from tests.support.atlas import RunningAtlas
from tests.support.objects import store_access, store_config

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

READ = ["s3:GetObject", "s3:GetObjectVersion"]
WRITE = ["s3:PutObject", "s3:AbortMultipartUpload"]


class World(NamedTuple):
    """Two atlases with one object each, neighbours whose names begin alike, and the issuer."""

    own: AtlasId
    other: AtlasId
    versions: dict[str, str]
    admin: "S3Client"
    vendor: S3Access
    issuer: StsIssuer


@pytest.fixture(scope="module")
def world(atlas: RunningAtlas) -> Iterator[World]:
    admin = s3_client(store_access(atlas.data_dir))
    config = store_config(atlas.data_dir)
    vendor = access_of(config, config.vendor)
    own, other = AtlasId(atlas.new_atlas()), AtlasId(atlas.new_atlas())
    keys = (f"{own}/file", f"{other}/file", f"{own}x/file", f"{own}", f".uploads/{own}")
    versions = {
        key: admin.put_object(Bucket=BUCKET, Key=key, Body=key.encode())["VersionId"]
        for key in keys
    }
    yield World(own, other, versions, admin, vendor, StsIssuer(vendor, role_arn=ROLE_ARN))
    admin.close()


@pytest.fixture(scope="module", params=["read", "write", "copy"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def holder(world: World, form: str) -> Iterator["S3Client"]:
    """A client with the credentials of one form, for the own atlas."""
    destination = world.other if form == "copy" else None
    issued = world.issuer.issue(world.own, write=form == "write", destination=destination)
    client = s3_client(world.vendor, tokens=issued.tokens)
    yield client
    client.close()


Attempt = Callable[["S3Client", World], object]


def get(place: str) -> Attempt:
    return lambda client, world: client.get_object(Bucket=BUCKET, Key=place.format(w=world))[
        "Body"
    ].read()


def get_version(place: str) -> Attempt:
    def attempt(client: "S3Client", world: World) -> object:
        key = place.format(w=world)
        version = world.versions[key]
        client.head_object(Bucket=BUCKET, Key=key, VersionId=version)
        found = client.get_object(Bucket=BUCKET, Key=key, VersionId=version, Range="bytes=0-1")
        return found["Body"].read()

    return attempt


def put(place: str) -> Attempt:
    return lambda client, world: client.put_object(
        Bucket=BUCKET, Key=place.format(w=world), Body=b"new"
    )


def multipart(place: str) -> Attempt:
    def attempt(client: "S3Client", world: World) -> object:
        key = place.format(w=world)
        upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        part = client.upload_part(
            Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=b"part"
        )
        return client.complete_multipart_upload(
            Bucket=BUCKET,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]},
        )

    return attempt


def abort(place: str) -> Attempt:
    def attempt(client: "S3Client", world: World) -> object:
        # Begun by somebody who may: only the abort is tried.
        key = place.format(w=world)
        upload = world.admin.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        return client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)

    return attempt


def copy(source: str, target: str) -> Attempt:
    def attempt(client: "S3Client", world: World) -> object:
        key = source.format(w=world)
        return client.copy_object(
            Bucket=BUCKET,
            Key=target.format(w=world),
            CopySource={"Bucket": BUCKET, "Key": key, "VersionId": world.versions[key]},
        )

    return attempt


def copy_part(source: str, target: str) -> Attempt:
    def attempt(client: "S3Client", world: World) -> object:
        key = target.format(w=world)
        upload = world.admin.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        from_key = source.format(w=world)
        return client.upload_part_copy(
            Bucket=BUCKET,
            Key=key,
            UploadId=upload,
            PartNumber=1,
            CopySource={
                "Bucket": BUCKET,
                "Key": from_key,
                "VersionId": world.versions[from_key],
            },
        )

    return attempt


def delete_version(place: str) -> Attempt:
    def attempt(client: "S3Client", world: World) -> object:
        key = place.format(w=world)
        return client.delete_object(Bucket=BUCKET, Key=key, VersionId=world.versions[key])

    return attempt


OWN, OTHER = "{w.own}/file", "{w.other}/file"
# Every attempt, and the forms of credentials with which it works.
ATTEMPTS: dict[str, tuple[Attempt, set[str]]] = {
    "get own": (get(OWN), {"read", "write", "copy"}),
    "get own version": (get_version(OWN), {"read", "write", "copy"}),
    "put own": (put("{w.own}/new"), {"write"}),
    "multipart own": (multipart("{w.own}/big"), {"write"}),
    "abort own": (abort("{w.own}/aborted"), {"write"}),
    "copy within own": (copy(OWN, "{w.own}/copied"), {"write"}),
    "get other": (get(OTHER), set()),
    "get other version": (get_version(OTHER), set()),
    "put other": (put("{w.other}/new"), {"copy"}),
    "multipart other": (multipart("{w.other}/big"), {"copy"}),
    "abort other": (abort("{w.other}/aborted"), {"copy"}),
    "copy own to other": (copy(OWN, "{w.other}/copied"), {"copy"}),
    "copy part own to other": (copy_part(OWN, "{w.other}/parted"), {"copy"}),
    "copy other to own": (copy(OTHER, "{w.own}/stolen"), set()),
    "copy part other to own": (copy_part(OTHER, "{w.own}/stolen"), set()),
    "copy within other": (copy(OTHER, "{w.other}/moved"), set()),
    "get longer name": (get("{w.own}x/file"), set()),
    "put longer name": (put("{w.own}x/new"), set()),
    "get bare prefix": (get("{w.own}"), set()),
    "put bare prefix": (put("{w.own}"), set()),
    "get uploads": (get(".uploads/{w.own}"), set()),
    "climb to other": (get("{w.own}/../{w.other}/file"), set()),
    "climb encoded": (get("{w.own}/%2e%2e/{w.other}/file"), set()),
    "put climbing": (put("{w.own}/../{w.other}/file"), set()),
    "delete own": (lambda c, w: c.delete_object(Bucket=BUCKET, Key=f"{w.own}/file"), set()),
    "delete own version": (delete_version(OWN), set()),
    "delete other version": (delete_version(OTHER), set()),
    "list own": (lambda c, w: c.list_objects_v2(Bucket=BUCKET, Prefix=f"{w.own}/"), set()),
    "list all": (lambda c, w: c.list_objects_v2(Bucket=BUCKET), set()),
    "list versions": (
        lambda c, w: c.list_object_versions(Bucket=BUCKET, Prefix=f"{w.own}/"),
        set(),
    ),
    "list uploads": (lambda c, w: c.list_multipart_uploads(Bucket=BUCKET), set()),
    "make bucket": (lambda c, w: c.create_bucket(Bucket=f"{w.own}-bucket"), set()),
    "versioning off": (
        lambda c, w: c.put_bucket_versioning(
            Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
        ),
        set(),
    ),
    "open the bucket": (
        lambda c, w: c.put_bucket_policy(
            Bucket=BUCKET,
            Policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": "*",
                            "Action": "s3:GetObject",
                            "Resource": f"arn:aws:s3:::{BUCKET}/*",
                        }
                    ],
                }
            ),
        ),
        set(),
    ),
    "tag own": (
        lambda c, w: c.put_object_tagging(
            Bucket=BUCKET, Key=f"{w.own}/file", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
        ),
        set(),
    ),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_credentials_open_what_they_are_for_and_nothing_else(
    world: World, form: str, holder: "S3Client", name: str
) -> None:
    attempt, works_with = ATTEMPTS[name]
    if form in works_with:
        attempt(holder, world)
        return
    with pytest.raises(ClientError) as raised:
        attempt(holder, world)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403, 404)


def test_nothing_foreign_was_changed(world: World, holder: "S3Client") -> None:
    for name, (attempt, works_with) in ATTEMPTS.items():
        if not works_with and not name.startswith("abort"):
            with pytest.raises(ClientError):
                attempt(holder, world)
    for key, version in world.versions.items():
        found = world.admin.get_object(Bucket=BUCKET, Key=key)
        assert (found["VersionId"], found["Body"].read()) == (version, key.encode())


def test_they_cannot_ask_for_more(world: World, form: str) -> None:
    destination = world.other if form == "copy" else None
    tokens = world.issuer.issue(world.own, write=True, destination=destination).tokens
    sts = sts_client(world.vendor, tokens=tokens)
    attempts: list[Callable[[], object]] = [
        lambda: sts.assume_role(RoleArn=ROLE_ARN, RoleSessionName="again"),
        lambda: sts.get_federation_token(Name="again"),
        sts.get_session_token,
    ]
    for attempt in attempts:
        with pytest.raises(ClientError) as raised:
            attempt()
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 400


def test_the_vendor_itself_can_only_issue(world: World) -> None:
    client = s3_client(world.vendor)
    for name in ("get own", "put own", "list all", "get other"):
        with pytest.raises(ClientError) as raised:
            ATTEMPTS[name][0](client, world)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError):
        sts_client(world.vendor).get_federation_token(Name="vendor")


@pytest.mark.parametrize("field", ["AccessKeyId", "SecretAccessKey", "SessionToken"])
def test_forged_credentials_are_refused(world: World, field: str) -> None:
    tokens = world.issuer.issue(world.own, write=True).tokens
    value: str = getattr(tokens, field)
    middle = len(value) // 2
    other = "A" if value[middle] != "A" else "B"
    forged = tokens.model_copy(update={field: value[:middle] + other + value[middle + 1 :]})
    with pytest.raises(ClientError) as raised:
        get(OWN)(s3_client(world.vendor, tokens=forged), world)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_token_of_another_session_does_not_help(world: World) -> None:
    tokens = world.issuer.issue(world.own, write=False).tokens
    wider = world.issuer.issue(world.other, write=True).tokens
    mixed = tokens.model_copy(update={"SessionToken": wider.SessionToken})
    with pytest.raises(ClientError) as raised:
        get(OTHER)(s3_client(world.vendor, tokens=mixed), world)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_without_credentials_nothing_is_read(world: World) -> None:
    url = f"{world.vendor.endpoint_url}/{BUCKET}/{world.own}/file"
    for headers in ({}, {"Authorization": "Bearer x"}, {"X-Amz-Security-Token": "x"}):
        answer = urllib3.request("GET", url, headers=headers)
        assert answer.status in (400, 403)
        assert world.own.encode() + b"/file" != answer.data


def test_they_say_what_they_are_for_and_when_they_end(world: World) -> None:
    before = datetime.now(UTC)
    issued = world.issuer.issue(world.own, write=False, destination=world.other)
    assert (issued.source.bucket_name, issued.source.prefix) == (BUCKET, world.own)
    assert issued.destination is not None
    assert (issued.destination.bucket_name, issued.destination.prefix) == (BUCKET, world.other)
    assert issued.endpoint_url == world.vendor.endpoint_url
    assert issued.region == "us-east-1"
    assert issued.tokens.Expiration.endswith("Z")
    life = datetime.fromisoformat(issued.tokens.Expiration) - before
    assert timedelta(minutes=59) < life < timedelta(minutes=62)
    assert issued.tokens.SecretAccessKey not in repr(issued)
    assert issued.tokens.SessionToken not in repr(issued)


def test_source_and_destination_may_be_the_same(world: World) -> None:
    tokens = world.issuer.issue(world.own, write=False, destination=world.own).tokens
    copy(OWN, "{w.own}/same")(s3_client(world.vendor, tokens=tokens), world)


def test_the_longest_ids_fit_into_a_policy(world: World) -> None:
    longest = AtlasId("a" * 255)
    tokens = world.issuer.issue(longest, write=True, destination=AtlasId("b" * 255)).tokens
    client = s3_client(world.vendor, tokens=tokens)
    client.put_object(Bucket=BUCKET, Key=f"{'b' * 255}/x", Body=b"")


def test_policies_are_the_smallest_that_work() -> None:
    def statement(actions: list[str], atlas_id: str) -> dict[str, object]:
        return {"Effect": "Allow", "Action": actions, "Resource": f"arn:aws:s3:::b/{atlas_id}/*"}

    nine, seventeen = AtlasId("9"), AtlasId("17")
    read = session_policy("b", nine, write=False)
    assert read["Statement"] == [statement(READ, "9")]
    write = session_policy("b", nine, write=True)
    assert write["Statement"] == [statement(READ, "9"), statement(WRITE, "9")]
    copying = session_policy("b", nine, write=True, destination=seventeen)
    assert copying["Statement"] == [statement(READ, "9"), statement(WRITE, "17")]


@pytest.mark.parametrize("live", ["*", "9*", "?", "${aws:username}", "9/17", "..", "", "é", "9\n"])
def test_ids_that_would_open_other_atlases_are_refused(live: str) -> None:
    with pytest.raises(InvalidInput, match="is not an atlas id"):
        session_policy("b", AtlasId(live), write=False)
    with pytest.raises(InvalidInput, match="is not an atlas id"):
        session_policy("b", AtlasId("9"), write=False, destination=AtlasId(live))


def test_a_store_out_of_reach_is_unavailable(world: World) -> None:
    away = world.vendor.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})
    issuer = StsIssuer(away, role_arn=ROLE_ARN, diagnosis=lambda: "it is being restarted")
    with pytest.raises(StorageUnavailable, match="it is being restarted"):
        issuer.issue(world.own, write=False)
