"""What the HTTP side needs of the object store. Implemented over S3, and in memory by tests."""

from typing import Protocol

from polly_core.models.catalog import AtlasId, DatasetId, VersionId
from polly_core.models.jsonvalue import Model
from polly_core.models.wire import S3Tokens


class Place(Model):
    """Where the objects of one atlas are. The prefix neither starts nor ends with a slash."""

    bucket_name: str
    prefix: str


class IssuedTokens(Model):
    """Temporary credentials and what they are for (wire.md §4.1)."""

    source: Place
    destination: Place | None = None
    """Only in the copy form."""
    tokens: S3Tokens
    endpoint_url: str | None = None
    """The endpoint as clients reach it; None stands for the default of their S3 library."""
    region: str | None = None


class Blobs(Protocol):
    """The server's own access to objects. Thread-safe; every call blocks.

    Both methods raise ``StorageUnavailable`` when the store cannot be reached or fails on its
    side, and any other ``StorageError`` when it refuses.
    """

    def put_metadata(
        self, atlas_id: AtlasId, dataset_id: DatasetId, version_id: VersionId, document: bytes
    ) -> str:
        """Store a metadata document (UTF-8 JSON, not compressed yet) and answer its URI.

        The object is the document in gzip with mtime 0, ``Content-Type: application/gzip``,
        under ``<prefix>/v2/<dataset_id>/.metadata/<version_id>.json.gz``; the URI always has a
        ``versionId``. When this returns, the object is durable.
        """
        ...

    def pin(self, atlas_id: AtlasId, uri: str) -> str:
        """The URI with the version it means: as given where it names one, else the current one.

        Raises:
            InvalidInput: not an ``s3://`` URI of the form of wire.md §5.1, or not in this atlas's
                bucket and prefix.
            ObjectMissing: no such object or version.
        """
        ...


class TokenIssuer(Protocol):
    """Issues temporary S3 credentials. Thread-safe; every call blocks."""

    def issue(
        self, source: AtlasId, *, write: bool, destination: AtlasId | None = None
    ) -> IssuedTokens:
        """Credentials below the prefix of ``source``, to read or (``write``) also to write.

        With a ``destination`` the copy form: read the source, write the destination; ``write``
        has no meaning then. Both may be the same atlas.

        Raises:
            StorageUnavailable: the store cannot issue credentials now.
        """
        ...
