"""Downloads: to a temporary name beside the target, verified, then renamed."""

import errno
import filecmp
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from polly_core.errors import CannotProceed, StorageError, StorageUnavailable
from polly_core.models.catalog import ObjectStat
from polly_core.transport.credentials import Form
from polly_core.transport.etags import MULTIPART_FROM, content_matches, part_size_for
from polly_core.transport.s3client import S3Clients, in_threads, version_of
from polly_core.transport.s3uri import S3Uri, parse_s3_uri

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_THREADS = 10
_TRIES = 4
_BLOCK = 256 * 1024
_KMS = frozenset({"aws:kms", "aws:kms:dsse"})


@dataclass(frozen=True, slots=True)
class _Source:
    uri: S3Uri
    size: int
    tag: str
    told: bool
    """Whether the tag says anything about the content."""

    @property
    def etag(self) -> str | None:
        """The tag, where it says something about the content."""
        return self.tag if self.told else None

    @property
    def stat(self) -> ObjectStat:
        return ObjectStat(location=str(self.uri), size=self.size, etag=self.tag.strip('"'))


class Downloads:
    """Fetches objects into files. Thread-safe.

    Parts of one large file come over several connections; these threads end with the call.
    """

    def __init__(self, clients: S3Clients) -> None:
        self._clients = clients

    def read(self, form: Form, location: str) -> bytes:
        """A whole small object. Raises a ``StorageError``."""
        uri = parse_s3_uri(location)
        return self._clients.call(form, uri, lambda client: _body(client, uri))

    def stat(self, form: Form, location: str) -> ObjectStat:
        """The object as it stands, pinned. Raises ``ObjectMissing`` where it is gone."""
        return self._head(form, parse_s3_uri(location)).stat

    def download(self, form: Form, location: str, target: Path) -> None:
        """Put exactly the version that the location names into a file.

        The target is untouched until the whole content is there and verified; on a failure or
        an interruption it stays as it was. Missing folders are made.

        Raises:
            StorageError: the object cannot be read, or what arrived is not what the store has.
            CannotProceed: there is no room for it.
        """
        source = self._head(form, parse_s3_uri(location))
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_room(target.parent, source)
        with _part_file(target) as part:
            try:
                self._fetch(form, source, part)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise _no_room(target.parent, source) from error
                raise
            self._verify(form, source, part)
            part.replace(target)

    def _verify(self, form: Form, source: _Source, part: Path) -> None:
        size = part.stat().st_size
        if size != source.size:
            raise _damaged(source, f"expected {source.size} bytes, found {size}")
        if source.etag is None or content_matches(part, size, source.etag) is not False:
            return
        if "-" not in source.etag:
            raise _damaged(source, f"its content is not what its entity tag {source.etag} says")
        # Some stores give tags of their own to large objects that were copied. Bytes that arrive
        # the same way twice are what the store has.
        with _part_file(part) as second:
            self._fetch(form, source, second)
            if not filecmp.cmp(part, second, shallow=False):
                raise _damaged(source, "two transfers of it differ")

    def _head(self, form: Form, uri: S3Uri) -> _Source:
        def head(client: "S3Client") -> _Source:
            found = client.head_object(Bucket=uri.bucket, Key=uri.key, **version_of(uri))
            told = found.get("ServerSideEncryption") not in _KMS
            # From here on it is this version, whatever is uploaded meanwhile.
            version_id = found.get("VersionId") or uri.version_id
            pinned = S3Uri(uri.bucket, uri.key, version_id)
            return _Source(pinned, found["ContentLength"], found["ETag"], told)

        return self._clients.call(form, uri, head, bare_403_is_stale=True)

    def _fetch(self, form: Form, source: _Source, part: Path) -> None:
        step = source.size if source.size < MULTIPART_FROM else part_size_for(source.size)

        def fetch(number: int) -> None:
            start = (number - 1) * step
            self._fetch_range(form, source.uri, part, range(start, min(start + step, source.size)))

        with part.open("r+b") as file:
            file.truncate(source.size)
            in_threads(fetch, -(-source.size // step) if step else 0, threads=_THREADS)
            os.fsync(file.fileno())

    def _fetch_range(self, form: Form, uri: S3Uri, part: Path, wanted: range) -> None:
        # The library retries a request, but not a body that breaks off.
        for tries_left in reversed(range(_TRIES)):
            try:
                self._clients.call(form, uri, lambda client: _copy_range(client, uri, part, wanted))
                return
            except StorageUnavailable:
                if not tries_left:
                    raise


def _copy_range(client: "S3Client", uri: S3Uri, part: Path, wanted: range) -> None:
    body = _open(client, uri, f"bytes={wanted.start}-{wanted.stop - 1}")
    found = 0
    try:
        with part.open("r+b") as file:
            file.seek(wanted.start)
            for block in body.iter_chunks(_BLOCK):
                found += file.write(block)
    except HTTPError as error:
        raise StorageUnavailable(f"the download of {uri} broke off: {error}") from error
    finally:
        body.close()
    if found != len(wanted):
        raise StorageUnavailable(
            f"the download of {uri} broke off: expected {len(wanted)} bytes, found {found}"
        )


def _body(client: "S3Client", uri: S3Uri) -> bytes:
    body = _open(client, uri, None)
    try:
        return body.read()
    except HTTPError as error:
        raise StorageUnavailable(f"the download of {uri} broke off: {error}") from error
    finally:
        body.close()


def _open(client: "S3Client", uri: S3Uri, byte_range: str | None) -> "StreamingBody":
    if byte_range is None:
        return client.get_object(Bucket=uri.bucket, Key=uri.key, **version_of(uri))["Body"]
    return client.get_object(Bucket=uri.bucket, Key=uri.key, Range=byte_range, **version_of(uri))[
        "Body"
    ]


@contextmanager
def _part_file(target: Path) -> Iterator[Path]:
    """A new file beside the target, gone at the end unless it was renamed."""
    part = target.parent / f".{target.name[:100]}.{secrets.token_hex(6)}.part"
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _damaged(source: _Source, problem: str) -> StorageError:
    return StorageError(f"the download of {source.uri} is damaged: {problem}; download it again")


def _require_room(folder: Path, source: _Source) -> None:
    if shutil.disk_usage(folder).free < source.size:
        raise _no_room(folder, source)


def _no_room(folder: Path, source: _Source) -> CannotProceed:
    return CannotProceed(
        f"no room in {folder} for {source.uri}: it needs {source.size} bytes; free some space "
        "or choose another folder"
    )
