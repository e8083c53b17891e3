"""An S3 service that somebody else runs: checked before it is used, and asked for credentials."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from polly_core.errors import CannotProceed, StorageError
from polly_core.models.catalog import AtlasId
from polly_core.models.wire import S3Tokens
from polly_core.server.ports import IssuedTokens, TokenIssuer
from polly_core.server.s3 import S3Access, has_versions, s3_client, storage_errors
from polly_core.server.tokens import LIFE_SECONDS, Call, StsIssuer, issued, session_policy

log = logging.getLogger(__name__)

# MinIO and others ask for a role but look only at the policy.
_ANY_ROLE = "arn:aws:iam::000000000000:role/Atlas"
_PROBE = AtlasId("credential-check")


class StaticKeys:
    """Hands out the server's own credentials, which nothing limits and nothing ends.

    Only for stores without a credential service: whoever holds any API key of this server,
    even one that may only read, can then read and write the whole bucket.
    """

    def __init__(
        self,
        access: S3Access,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._access = access
        self._now = now

    def issue(
        self, source: AtlasId, *, write: bool, destination: AtlasId | None = None
    ) -> IssuedTokens:
        """The same credentials for everybody; the expiry only makes clients ask again.

        Raises:
            InvalidInput: not an atlas id.
        """
        session_policy(self._access.bucket, source, write=write, destination=destination)
        expires = self._now().astimezone(UTC) + timedelta(seconds=LIFE_SECONDS)
        tokens = S3Tokens(
            AccessKeyId=self._access.access_key,
            SecretAccessKey=self._access.secret_key.get_secret_value(),
            SessionToken="",
            Expiration=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        return issued(self._access, source, destination, tokens)


def check_bucket(access: S3Access) -> None:
    """Make sure that the bucket can be used.

    Raises:
        CannotProceed: it is out of reach, denied, missing, or keeps no versions.
    """
    client = s3_client(access)
    try:
        with storage_errors(f"Looking for bucket {access.bucket!r} at {access.endpoint_url}"):
            client.head_bucket(Bucket=access.bucket)
        versions = has_versions(client, access.bucket)
    except StorageError as error:
        raise CannotProceed(
            f"{error}. Check --s3-endpoint, --s3-bucket and the credentials in AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY"
        ) from error
    if not versions:
        raise CannotProceed(
            f"Bucket {access.bucket!r} at {access.endpoint_url} keeps no versions of its "
            "objects, which the catalog needs. Turn versioning on for it, then start again"
        )


def choose_issuer(access: S3Access, role_arn: str | None = None) -> TokenIssuer:
    """The service's own temporary credentials where it limits them, else the static keys.

    Raises:
        CannotProceed: a role was named, but no limited credentials come of it.
    """
    calls: tuple[Call, ...] = ("AssumeRole",) if role_arn else ("GetFederationToken", "AssumeRole")
    for call in calls:
        issuer = StsIssuer(
            access, call=call, role_arn=role_arn or _ANY_ROLE, sts_endpoint_url=_sts(access)
        )
        if _issues_limited(access, issuer, call):
            return issuer
    if role_arn:
        raise CannotProceed(
            f"{access.endpoint_url} gives no credentials limited to a prefix for the role "
            f"{role_arn} in AWS_ROLE_ARN; the log says what it answered. Check that the role "
            "trusts these credentials and may read and write the bucket"
        )
    log.warning(
        "%s issues no temporary credentials that are limited to a prefix. Whoever holds an API "
        "key of this server, even one that may only read, gets this server's own S3 keys and can "
        "read and write the whole bucket %r. The catalog API itself still enforces its keys. "
        "If the service knows roles, name one in AWS_ROLE_ARN",
        access.endpoint_url,
        access.bucket,
    )
    return StaticKeys(access)


def _issues_limited(access: S3Access, issuer: StsIssuer, call: Call) -> bool:
    try:
        limited = _is_limited(access, issuer.issue(_PROBE, write=True).tokens)
    # botocore trips over answers that are of another kind than it asked for.
    except (StorageError, KeyError) as error:
        log.info("%s: %s cannot be used: %s", access.endpoint_url, call, error)
        return False
    log.info("%s: %s %s", access.endpoint_url, call, "is used" if limited else "ignores its policy")
    return limited


def _is_limited(access: S3Access, tokens: S3Tokens) -> bool:
    # Some services take a policy and ignore it: only trying shows whether it holds.
    from botocore.exceptions import ClientError

    client = s3_client(access, tokens=tokens)
    with storage_errors("Trying temporary credentials"):
        client.put_object(Bucket=access.bucket, Key=f"{_PROBE}/inside", Body=b"")
    try:
        with storage_errors("Trying temporary credentials"):
            client.put_object(Bucket=access.bucket, Key=f"{_PROBE}-outside/probe", Body=b"")
    except StorageError as error:
        cause = error.__cause__
        return isinstance(cause, ClientError) and (
            cause.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        )
    return False


def _sts(access: S3Access) -> str | None:
    host = urlsplit(access.endpoint_url).hostname or ""
    if host == "amazonaws.com" or host.endswith(".amazonaws.com"):
        return f"https://sts.{access.region}.amazonaws.com"
    return None
