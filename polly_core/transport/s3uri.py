"""Addresses of objects: ``s3://bucket/percent-encoded key?versionId=…``."""

from typing import NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from polly_core.errors import InvalidInput

SCHEME = "s3://"


class S3Uri(NamedTuple):
    """One object, or one version of it. The key is as the store knows it, not encoded."""

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        version = f"?versionId={quote_plus(self.version_id)}" if self.version_id else ""
        return f"{SCHEME}{self.bucket}/{quote(self.key)}{version}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]


def parse_s3_uri(text: str) -> S3Uri:
    """The object that a location names.

    Raises:
        InvalidInput: it is not an S3 URI, or holds a query other than ``versionId``.
    """
    if not text.startswith(SCHEME):
        raise InvalidInput(f"expected a location that begins with s3://, found {text!r}")
    if "#" in text:
        raise InvalidInput(f"the location {text!r} holds a bare '#'; write it as %23")
    path, _, query = text[len(SCHEME) :].partition("?")
    bucket, _, key = path.partition("/")
    fields = dict(parse_qsl(query, keep_blank_values=True))
    version_id = fields.pop("versionId", None)
    if fields:
        raise InvalidInput(
            f"the location {text!r} holds the query {sorted(fields)}; only versionId is known. "
            "A '?' that belongs to the key is written as %3F"
        )
    if not bucket or not key:
        raise InvalidInput(f"the location {text!r} lacks a bucket or a key")
    return S3Uri(bucket, unquote(key), version_id or None)
