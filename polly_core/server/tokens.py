"""Temporary credentials, limited to what one atlas (or one copy) needs."""

import json
import re
from datetime import UTC
from typing import TYPE_CHECKING, Literal

from polly_core.errors import InvalidInput
from polly_core.models.catalog import AtlasId
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.wire import ID_PATTERN, S3Tokens
from polly_core.server.ports import IssuedTokens, Place
from polly_core.server.s3 import Diagnosis, S3Access, no_diagnosis, storage_errors, sts_client

if TYPE_CHECKING:
    from mypy_boto3_sts.type_defs import CredentialsTypeDef

LIFE_SECONDS = 3600
_LONGEST_SESSION_NAME = 64
_READ = ("s3:GetObject", "s3:GetObjectVersion")
_WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")

Call = Literal["AssumeRole", "GetFederationToken"]


class StsIssuer:
    """Issues credentials by the store's own credential service, each with a session policy.

    What the policy does not name is denied by the store itself, until the credentials expire.
    """

    def __init__(
        self,
        access: S3Access,
        *,
        call: Call = "AssumeRole",
        role_arn: str = "",
        sts_endpoint_url: str | None = None,
        life_seconds: int = LIFE_SECONDS,
        diagnosis: Diagnosis = no_diagnosis,
    ) -> None:
        self._access = access
        self._call = call
        self._role_arn = role_arn
        self._life = life_seconds
        self._diagnosis = diagnosis
        self._client = sts_client(access, endpoint_url=sts_endpoint_url)

    def issue(
        self, source: AtlasId, *, write: bool, destination: AtlasId | None = None
    ) -> IssuedTokens:
        """Credentials below the prefix of ``source``, or for a copy to ``destination``.

        Raises:
            InvalidInput: not an atlas id; in a policy it could stand for other atlases.
            StorageUnavailable: the store cannot issue credentials now.
            StorageError: it refuses to.
        """
        bucket = self._access.bucket
        policy = session_policy(bucket, source, write=write, destination=destination)
        name = f"atlas-{source}"[:_LONGEST_SESSION_NAME]
        with storage_errors(f"Asking for credentials for atlas {source!r}", self._diagnosis):
            credentials = self._ask(name, json.dumps(policy, separators=(",", ":")))
        return issued(self._access, source, destination, _tokens(credentials))

    def _ask(self, name: str, policy: str) -> "CredentialsTypeDef":
        if self._call == "GetFederationToken":
            # Names of federated users are half as long as those of role sessions.
            return self._client.get_federation_token(
                Name=name[: _LONGEST_SESSION_NAME // 2], Policy=policy, DurationSeconds=self._life
            )["Credentials"]
        return self._client.assume_role(
            RoleArn=self._role_arn,
            RoleSessionName=name,
            Policy=policy,
            DurationSeconds=self._life,
        )["Credentials"]


def session_policy(
    bucket: str, source: AtlasId, *, write: bool, destination: AtlasId | None = None
) -> JsonObject:
    """What credentials may do: the smallest set with which every transfer works.

    Raises:
        InvalidInput: not an atlas id.
    """
    statements = [_allow(bucket, source, _READ)]
    if destination is not None:
        statements.append(_allow(bucket, destination, _WRITE))
    elif write:
        statements.append(_allow(bucket, source, _WRITE))
    return {"Version": "2012-10-17", "Statement": [*statements]}


def issued(
    access: S3Access, source: AtlasId, destination: AtlasId | None, tokens: S3Tokens
) -> IssuedTokens:
    """Credentials together with the places they are for."""
    return IssuedTokens(
        source=Place(bucket_name=access.bucket, prefix=source),
        destination=destination and Place(bucket_name=access.bucket, prefix=destination),
        tokens=tokens,
        endpoint_url=access.endpoint_url,
        region=access.region,
    )


def _allow(bucket: str, atlas_id: AtlasId, actions: tuple[str, ...]) -> JsonValue:
    # "*", "?" and "${...}" in a resource are live: an id that held one would open other atlases.
    if not re.fullmatch(ID_PATTERN, atlas_id, re.ASCII):
        raise InvalidInput(
            f"{atlas_id!r} is not an atlas id: expected ASCII letters, digits, '-' and '_'"
        )
    # The slash before the star keeps atlas 9 out of atlas 99.
    resource = f"arn:aws:s3:::{bucket}/{atlas_id}/*"
    return {"Effect": "Allow", "Action": [*actions], "Resource": resource}


def _tokens(credentials: "CredentialsTypeDef") -> S3Tokens:
    expires = credentials["Expiration"].astimezone(UTC)
    return S3Tokens(
        AccessKeyId=credentials["AccessKeyId"],
        SecretAccessKey=credentials["SecretAccessKey"],
        SessionToken=credentials["SessionToken"],
        Expiration=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
