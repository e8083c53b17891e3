"""Access to an S3 service with botocore, and what its failures are called here.

Not with boto3: that is the same client and half a second more at start-up.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr

from polly_core.errors import ObjectMissing, StorageDenied, StorageError, StorageUnavailable
from polly_core.models.jsonvalue import Model
from polly_core.models.wire import S3Tokens

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sts.client import STSClient

Diagnosis = Callable[[], str]
"""Why the store may be failing right now; empty when nothing is known."""

_PROBE_REPEATS = 500
_MISSING = {
    "404",
    "405",
    "NoSuchKey",
    "NoSuchVersion",
    "NotFound",
    "NoSuchBucket",
    "MethodNotAllowed",
}
_DENIED = {"401", "403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_BUSY = {"429", "SlowDown", "Throttling", "RequestTimeout"}


class S3Access(Model):
    """A bucket and credentials that do not expire."""

    endpoint_url: str
    region: str
    bucket: str
    access_key: str
    secret_key: SecretStr


def no_diagnosis() -> str:
    """Nothing is known about the store's condition."""
    return ""


def s3_client(access: S3Access, *, tokens: S3Tokens | None = None) -> "S3Client":
    """A thread-safe client with short time-outs; with ``tokens``, as whoever holds them."""
    return cast("S3Client", _client("s3", access, access.endpoint_url, tokens))


def sts_client(
    access: S3Access, *, endpoint_url: str | None = None, tokens: S3Tokens | None = None
) -> "STSClient":
    """A thread-safe client of the credential service, at the store's endpoint by default."""
    return cast("STSClient", _client("sts", access, endpoint_url or access.endpoint_url, tokens))


@contextmanager
def storage_errors(what: str, diagnosis: Diagnosis = no_diagnosis) -> Iterator[None]:
    """Give botocore's failures their names here; ``what`` says what was tried, on which object.

    Raises:
        StorageUnavailable: no connection, a time-out, or a failure on the service's side.
        ObjectMissing, StorageDenied, StorageError: it answered, and refused.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refusal(what, error, diagnosis) from error
    except BotoCoreError as error:
        # Their texts may hold what was sent; the class says enough.
        raise unavailable(what, type(error).__name__, diagnosis) from error


def ensure_bucket(client: "S3Client", bucket: str) -> None:
    """Let the bucket exist and keep every version of every object.

    Raises:
        StorageError: it cannot be made or looked at.
    """
    try:
        with storage_errors(f"Looking for bucket {bucket!r}"):
            client.head_bucket(Bucket=bucket)
    except ObjectMissing:
        with storage_errors(f"Making bucket {bucket!r}"):
            client.create_bucket(Bucket=bucket)
    if not has_versions(client, bucket):
        with storage_errors(f"Turning versions on for bucket {bucket!r}"):
            client.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )


def check_round_trip(client: "S3Client", bucket: str, key: str) -> None:
    """Write an object, read it back and remove it without a trace.

    Raises:
        StorageError: one of them does not work.
    """
    content = key.encode() * _PROBE_REPEATS
    with storage_errors(f"Writing and reading the probe {key}"):
        version = client.put_object(Bucket=bucket, Key=key, Body=content)["VersionId"]
        found = client.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
        client.delete_object(Bucket=bucket, Key=key, VersionId=version)
    if found != content:
        raise StorageError(f"The probe {key} was not read as it was written")


def has_versions(client: "S3Client", bucket: str) -> bool:
    """Whether the bucket keeps every version of every object."""
    with storage_errors(f"Asking bucket {bucket!r} for its versioning"):
        return client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"


def unavailable(what: str, found: str, diagnosis: Diagnosis) -> StorageUnavailable:
    """The store failed to do ``what``, with the reason where one is known."""
    reason = diagnosis()
    return StorageUnavailable(f"{what}: the object store failed ({reason or found})")


def _refusal(what: str, error: "ClientError", diagnosis: Diagnosis) -> StorageError:
    response = error.response
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or code in _BUSY:
        return unavailable(what, f"{status} {code}", diagnosis)
    if code in _MISSING:
        return ObjectMissing(f"{what}: there is no such object or version")
    if code in _DENIED:
        return StorageDenied(f"{what}: the object store denied it ({code})")
    return StorageError(f"{what}: the object store refused it ({status} {code})")


def _client(
    service: str, access: S3Access, endpoint_url: str, tokens: S3Tokens | None
) -> "BaseClient":
    from botocore.session import Session

    secret = access.secret_key.get_secret_value()
    return Session().create_client(
        service,
        endpoint_url=endpoint_url,
        region_name=access.region,
        aws_access_key_id=tokens.AccessKeyId if tokens else access.access_key,
        aws_secret_access_key=tokens.SecretAccessKey if tokens else secret,
        aws_session_token=tokens.SessionToken if tokens else None,
        config=_config(),
    )


def _config() -> "Config":
    from botocore.config import Config

    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=3,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=32,
        # A proxy for the outer world is not the way to this store.
        proxies={},
    )
