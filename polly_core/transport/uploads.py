"""Uploads and copies: skipped where the content is there already, aborted where they fail."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from polly_core.errors import InvalidInput, StorageError
from polly_core.transport.credentials import Form
from polly_core.transport.etags import MULTIPART_FROM, part_size_for, upload_etag
from polly_core.transport.objects import MetadataObjects
from polly_core.transport.s3client import S3Clients, in_threads, version_of
from polly_core.transport.s3uri import S3Uri

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        CompleteMultipartUploadOutputTypeDef,
        CopySourceTypeDef,
        HeadObjectOutputTypeDef,
        PutObjectOutputTypeDef,
    )

    _MayBeEncrypted: TypeAlias = (
        CompleteMultipartUploadOutputTypeDef | HeadObjectOutputTypeDef | PutObjectOutputTypeDef
    )

logger = logging.getLogger(__name__)

_THREADS = 6
# A store copies this well within a time-out, and a whole copy keeps a tag that tells its content.
_COPIED_AT_ONCE = 256 * 1024 * 1024
# Below this a look at the store costs as much as the upload.
_SKIP_FROM = 1024
# A copy in parts gets a tag of its own, so it says what it is a copy of.
_COPY_OF = "polly-copy-of"
# Bodies above a size that are in memory at the same time.
_BODIES = 12
_SMALL = 512 * 1024


class _Stored(NamedTuple):
    uri: S3Uri
    etag: str | None
    """None where it says nothing about the content."""


class Uploads:
    """Puts files and copies of objects into the store. Thread-safe.

    Parts of one large file go over several connections; these threads end with the call. Memory
    is bounded however many and however large the files are: a part for each of a few threads, the
    others wait, and next to nothing for a small file.
    """

    def __init__(self, clients: S3Clients, small: MetadataObjects | None = None) -> None:
        self._clients = clients
        self._small = small
        self._room = threading.BoundedSemaphore(_BODIES)

    def upload(self, form: Form, source: Path, target: S3Uri, *, anew: bool = False) -> S3Uri:
        """Put a file at a key; the URI names the version that holds its content.

        Nothing is sent where the current version holds it already. A failed or interrupted
        upload leaves no object, no version and no parts.

        Args:
            anew: do not look whether it is there; the version is a new one.

        Raises:
            StorageError: the store refuses or fails.
            InvalidInput: the file changed while it was read.
        """
        size = source.stat().st_size
        tag = upload_etag(source, size)
        looks = size >= _SKIP_FROM and not anew
        present = self._present(form, target, size, tag) if looks else None
        if present is not None:
            return present
        if size < MULTIPART_FROM:
            with self._room if size > _SMALL else nullcontext():
                return self._put(form, source, target, tag)
        step = part_size_for(size)
        with self._multipart(form, target) as upload_id:

            def send(number: int) -> "CompletedPartTypeDef":
                with self._room:
                    body = _read_part(source, (number - 1) * step, step)
                    sent = self._clients.call(
                        form,
                        target,
                        lambda client: client.upload_part(
                            Bucket=target.bucket,
                            Key=target.key,
                            UploadId=upload_id,
                            PartNumber=number,
                            Body=body,
                        ),
                    )
                return {"PartNumber": number, "ETag": sent["ETag"]}

            parts = in_threads(send, -(-size // step), threads=_THREADS)
            try:
                done = self._complete(form, target, upload_id, parts)
            except StorageError:
                # A repeated completion finds no upload where the first one succeeded unheard.
                present = self._present(form, target, size, tag)
                if present is None:
                    raise
                return present
        if done.etag is not None and done.etag != tag:
            raise _changed(source)
        return done.uri

    def copy(
        self, form: Form, source: S3Uri, target: S3Uri, *, looking: Form | None = None
    ) -> S3Uri:
        """Copy an object within the store; the URI names the version that holds its content.

        With ``looking``, which may read the target, nothing is copied where the current version
        holds it already.

        Raises:
            StorageError: the source is missing, or the store refuses or fails.
        """
        head = self._clients.call(
            form,
            source,
            lambda client: client.head_object(
                Bucket=source.bucket, Key=source.key, **version_of(source)
            ),
            bare_403_is_stale=True,
        )
        pinned = source._replace(version_id=head.get("VersionId") or source.version_id)
        size = head["ContentLength"]
        if looking is not None and size >= _SKIP_FROM:
            tag = None if _encrypted(head) else head["ETag"].strip('"')
            present = self._present(looking, target, size, tag, copy_of=pinned)
            if present is not None:
                return present
        origin: CopySourceTypeDef = {"Bucket": pinned.bucket, "Key": pinned.key}
        if pinned.version_id is not None:
            origin["VersionId"] = pinned.version_id
        if size <= _COPIED_AT_ONCE:
            copied = self._clients.call(
                form,
                target,
                lambda client: client.copy_object(
                    Bucket=target.bucket, Key=target.key, CopySource=origin
                ),
            )
            return S3Uri(target.bucket, target.key, copied.get("VersionId"))
        with self._multipart(form, target, copy_of=pinned) as upload_id:
            try:
                return self._copy_parts(form, origin, target, size, upload_id)
            except StorageError:
                # As above: the first completion may have succeeded unheard.
                there = self._present(looking or form, target, size, None, copy_of=pinned)
                if there is None:
                    raise
                return there

    def _copy_parts(
        self, form: Form, origin: "CopySourceTypeDef", target: S3Uri, size: int, upload_id: str
    ) -> S3Uri:
        step = part_size_for(size)

        def send(number: int) -> "CompletedPartTypeDef":
            start = (number - 1) * step
            sent = self._clients.call(
                form,
                target,
                lambda client: client.upload_part_copy(
                    Bucket=target.bucket,
                    Key=target.key,
                    UploadId=upload_id,
                    PartNumber=number,
                    CopySource=origin,
                    CopySourceRange=f"bytes={start}-{min(start + step, size) - 1}",
                ),
            )
            return {"PartNumber": number, "ETag": sent["CopyPartResult"]["ETag"]}

        parts = in_threads(send, -(-size // step), threads=_THREADS)
        return self._complete(form, target, upload_id, parts).uri

    def _present(
        self, form: Form, target: S3Uri, size: int, tag: str | None, copy_of: S3Uri | None = None
    ) -> S3Uri | None:
        """The current version where it holds this content; any refusal counts as absent."""
        try:
            head = self._clients.call(
                form,
                target,
                lambda client: client.head_object(Bucket=target.bucket, Key=target.key),
            )
        except StorageError:
            return None
        same = tag is not None and head["ETag"].strip('"') == tag and not _encrypted(head)
        marked = copy_of is not None and head["Metadata"].get(_COPY_OF) == _mark(copy_of)
        if head["ContentLength"] != size or not (same or marked):
            return None
        return S3Uri(target.bucket, target.key, head.get("VersionId"))

    def _put(self, form: Form, source: Path, target: S3Uri, tag: str) -> S3Uri:
        body = source.read_bytes()
        done = self._small.put(form, target, body) if self._small else None
        if done is not None and done[1] == tag:
            return done[0]
        sent = self._clients.call(
            form,
            target,
            lambda client: client.put_object(Bucket=target.bucket, Key=target.key, Body=body),
        )
        if _encrypted(sent):
            # The tags of this store say nothing, and only boto3 tells that it is so.
            self._small = None
        elif sent["ETag"].strip('"') != tag:
            raise _changed(source)
        return S3Uri(target.bucket, target.key, sent.get("VersionId"))

    @contextmanager
    def _multipart(
        self, form: Form, target: S3Uri, *, copy_of: S3Uri | None = None
    ) -> Iterator[str]:
        marks = {} if copy_of is None else {_COPY_OF: _mark(copy_of)}
        begun = self._clients.call(
            form,
            target,
            lambda client: client.create_multipart_upload(
                Bucket=target.bucket, Key=target.key, Metadata=marks
            ),
        )
        upload_id = begun["UploadId"]
        try:
            yield upload_id
        except BaseException:
            # An interruption, too, must not leave parts that are paid for and seen by nobody.
            self._abort(form, target, upload_id)
            raise

    def _abort(self, form: Form, target: S3Uri, upload_id: str) -> None:
        try:
            self._clients.call(
                form,
                target,
                lambda client: client.abort_multipart_upload(
                    Bucket=target.bucket, Key=target.key, UploadId=upload_id
                ),
            )
        except StorageError as error:
            logger.warning("the failed upload of %s could not be aborted: %s", target, error)

    def _complete(
        self, form: Form, target: S3Uri, upload_id: str, parts: "list[CompletedPartTypeDef]"
    ) -> _Stored:
        done = self._clients.call(
            form,
            target,
            lambda client: client.complete_multipart_upload(
                Bucket=target.bucket,
                Key=target.key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            ),
        )
        etag = None if _encrypted(done) else done["ETag"].strip('"')
        return _Stored(S3Uri(target.bucket, target.key, done.get("VersionId")), etag)


def _mark(source: S3Uri) -> str:
    return hashlib.sha256(str(source).encode()).hexdigest()


def _encrypted(answer: "_MayBeEncrypted") -> bool:
    """Whether the object is encrypted so that its tag says nothing about the content."""
    return answer.get("ServerSideEncryption", "").startswith("aws:kms")


def _read_part(source: Path, start: int, length: int) -> bytes:
    with source.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _changed(source: Path) -> InvalidInput:
    return InvalidInput(f"the file {source} changed while it was uploaded; upload it again")
