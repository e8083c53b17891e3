"""An object store and an issuer in memory, for tests that are not about them."""

import threading
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from polly_core.errors import InvalidInput, ObjectMissing
from polly_core.models.catalog import AtlasId, DatasetId, VersionId
from polly_core.models.wire import S3Tokens
from polly_core.server.ports import IssuedTokens, Place

BUCKET = "catalog"
EXPIRATION = "2030-01-31T12:00:00Z"


class MemoryBlobs:
    """Versioned objects in a dictionary. ``before_put`` and ``after_put`` may raise or wait."""

    def __init__(self) -> None:
        self.objects: dict[str, list[bytes]] = {}
        self.before_put: Callable[[], None] = _nothing
        self.after_put: Callable[[], None] = _nothing
        self._lock = threading.Lock()

    def upload(self, key: str, content: bytes = b"data") -> str:
        """Put an object as a client does; answers its pinned URI."""
        with self._lock:
            history = self.objects.setdefault(key, [])
            history.append(content)
            return f"s3://{BUCKET}/{quote(key)}?versionId={len(history)}"

    def content(self, uri: str) -> bytes:
        """The bytes of a pinned URI."""
        key, version = _split(uri)
        assert version is not None
        return self.objects[key][int(version) - 1]

    def put_metadata(
        self, atlas_id: AtlasId, dataset_id: DatasetId, version_id: VersionId, document: bytes
    ) -> str:
        self.before_put()
        key = f"{atlas_id}/v2/{dataset_id}/.metadata/{version_id}.json.gz"
        uri = self.upload(key, document)
        self.after_put()
        return uri

    def pin(self, atlas_id: AtlasId, uri: str) -> str:
        key, version = _split(uri)
        if not key.startswith(f"{atlas_id}/"):
            raise InvalidInput(f"{uri} is not in repository {atlas_id}")
        history = self.objects.get(key)
        if not history:
            raise ObjectMissing(f"{uri} does not exist")
        if version is None:
            return f"{uri}?versionId={len(history)}"
        if not (version.isdigit() and 0 < int(version) <= len(history)):
            raise ObjectMissing(f"{uri} has no such version")
        return uri


class Issued(NamedTuple):
    """One call to the issuer."""

    source: AtlasId
    write: bool
    destination: AtlasId | None


class MemoryIssuer:
    """Issues credentials that open nothing and remembers what was asked."""

    def __init__(self) -> None:
        self.calls: list[Issued] = []

    def issue(
        self, source: AtlasId, *, write: bool, destination: AtlasId | None = None
    ) -> IssuedTokens:
        self.calls.append(Issued(source, write, destination))
        return IssuedTokens(
            source=Place(bucket_name=BUCKET, prefix=source),
            destination=destination and Place(bucket_name=BUCKET, prefix=destination),
            tokens=S3Tokens(
                AccessKeyId="ASIA1",
                SecretAccessKey="secret",
                SessionToken="token",
                Expiration=EXPIRATION,
            ),
            endpoint_url="http://127.0.0.1:9000",
            region="us-east-1",
        )


def _split(uri: str) -> tuple[str, str | None]:
    parts = urlsplit(uri)
    if parts.scheme != "s3" or parts.netloc != BUCKET:
        raise InvalidInput(f"{uri} is not in bucket {BUCKET}")
    version = parse_qs(parts.query).get("versionId", [None])[0]
    return unquote(parts.path.removeprefix("/")), version


def _nothing() -> None:
    """The default of hooks."""
