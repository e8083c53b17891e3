"""Objects of the catalog in any S3: metadata documents written, data locations pinned."""

import gzip
import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from polly_core.errors import InvalidInput, StorageDenied, StorageError
from polly_core.models.catalog import AtlasId, DatasetId, VersionId
from polly_core.models.jsonvalue import Model
from polly_core.server.s3 import (
    Diagnosis,
    S3Access,
    no_diagnosis,
    s3_client,
    storage_errors,
    unavailable,
)

if TYPE_CHECKING:
    from obstore.store import S3Store

CONTENT_TYPE = "application/gzip"
_SCHEME = "s3://"
_VERSION = "versionId="
_MAX_KEY_BYTES = 1024


class ObjectUri(Model):
    """``s3://<bucket>/<percent-encoded key>[?versionId=<url-encoded>]``, taken apart."""

    bucket: str
    key: str
    version_id: str | None = None
    text: str
    """As it was given, without a fragment."""


class S3Blobs:
    """The server's own access to the objects of every atlas. Thread-safe; every call blocks."""

    def __init__(self, access: S3Access, *, diagnosis: Diagnosis = no_diagnosis) -> None:
        self._bucket = access.bucket
        self._diagnosis = diagnosis
        self._store = _small_object_store(access)
        # obstore cannot look at one version of an object without reading it.
        self._client = s3_client(access)

    def put_metadata(
        self, atlas_id: AtlasId, dataset_id: DatasetId, version_id: VersionId, document: bytes
    ) -> str:
        """Store a metadata document and answer its URI, which names its version.

        A repeated attempt can leave one more version of the object, which nothing refers to.

        Raises:
            StorageUnavailable: the store failed or cannot be reached; nothing refers to it.
            StorageError: the store refused.
        """
        import obstore
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        key = f"{atlas_id}/v2/{dataset_id}/.metadata/{version_id}.json.gz"
        what = f"Writing the metadata of dataset {dataset_id!r} (object {key})"
        try:
            result = obstore.put(
                self._store,
                key,
                gzip.compress(document, mtime=0),
                attributes={"Content-Type": CONTENT_TYPE},
                use_multipart=False,
            )
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StorageDenied(f"{what}: the object store denied it") from error
        except (BaseError, OSError) as error:
            # Its text quotes the store's answer, which may name credentials.
            raise unavailable(what, type(error).__name__, self._diagnosis) from error
        return _uri(self._bucket, key, self._version(result["version"], key))

    def pin(self, atlas_id: AtlasId, uri: str) -> str:
        """The URI with the version it means: as given where it names one, else the current one.

        Raises:
            InvalidInput: not such a URI, or not below this atlas's prefix.
            ObjectMissing: no such object or version.
            StorageError: the store failed or refused.
        """
        location = parse_uri(uri)
        self._check_place(atlas_id, location)
        with storage_errors(f"Looking for {location.text}", self._diagnosis):
            if location.version_id is not None:
                self._client.head_object(
                    Bucket=location.bucket, Key=location.key, VersionId=location.version_id
                )
                return location.text
            found = self._client.head_object(Bucket=location.bucket, Key=location.key)
        version = self._version(found.get("VersionId"), location.key)
        return f"{location.text}?{_VERSION}{quote(version, safe='')}"

    def _check_place(self, atlas_id: AtlasId, location: ObjectUri) -> None:
        expected = f"{_SCHEME}{self._bucket}/{atlas_id}/"
        if location.bucket != self._bucket or not location.key.startswith(f"{atlas_id}/"):
            raise InvalidInput(
                f"{location.text} is not an object of atlas {atlas_id!r}: its objects are below "
                f"{expected}. Upload it there, or copy it with copy_dataset"
            )

    def _version(self, version_id: str | None, key: str) -> str:
        if not version_id:
            raise StorageError(
                f"The object store gave {key} no version: bucket {self._bucket!r} keeps none. "
                "Turn versioning on for it"
            )
        return version_id


def parse_uri(uri: str) -> ObjectUri:
    """Take an object's URI apart; a fragment is dropped.

    Raises:
        InvalidInput: it is not of the form above, or its key could mean another place.
    """
    text = uri.partition("#")[0]
    address, has_query, query = text.partition("?")
    bucket, _, encoded = address.removeprefix(_SCHEME).partition("/")
    if not text.startswith(_SCHEME) or not bucket or not encoded:
        raise InvalidInput(f"{uri!r} is not an object: expected s3://<bucket>/<key>")
    version = _decoded(query.removeprefix(_VERSION), uri) if has_query else None
    if has_query and (not query.startswith(_VERSION) or "&" in query or not version):
        raise InvalidInput(f"{uri!r} has the query {query!r}: only versionId=<version> may follow")
    key = _decoded(encoded, uri)
    _check_key(key, uri)
    return ObjectUri(bucket=bucket, key=key, version_id=version, text=text)


def _check_key(key: str, uri: str) -> None:
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise InvalidInput(f"{uri[:80]!r}…: the key is longer than {_MAX_KEY_BYTES} bytes")
    if any(unicodedata.category(character) == "Cc" for character in key):
        raise InvalidInput(f"{uri!r}: the key holds a control character")
    for part in key.split("/"):
        # A part that ends in .versions is where the bundled store keeps old versions.
        if part in ("", ".", "..") or part.endswith(".versions"):
            raise InvalidInput(
                f"{uri!r}: the key has the part {part!r}; parts must not be empty, '.', '..' or "
                "end in '.versions'"
            )


def _decoded(text: str, uri: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError as error:
        raise InvalidInput(f"{uri!r} does not decode to UTF-8 text") from error


def _uri(bucket: str, key: str, version_id: str) -> str:
    return f"{_SCHEME}{bucket}/{quote(key)}?{_VERSION}{quote(version_id, safe='')}"


def _small_object_store(access: S3Access) -> "S3Store":
    from obstore.store import S3Store

    return S3Store(
        access.bucket,
        endpoint=access.endpoint_url,
        region=access.region,
        access_key_id=access.access_key,
        secret_access_key=access.secret_key.get_secret_value(),
        virtual_hosted_style_request=False,
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=3),
            "timeout": timedelta(seconds=20),
        },
        # A caller waits: better to say soon that the store is away.
        retry_config={
            "max_retries": 2,
            "retry_timeout": timedelta(seconds=10),
            "backoff": {
                "init_backoff": timedelta(milliseconds=50),
                "max_backoff": timedelta(seconds=1),
                "base": 2,
            },
        },
    )
