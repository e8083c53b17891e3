"""Files that are put into the operator's own S3, with the environment's credentials."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from polly_core.errors import CannotProceed, InvalidInput
from polly_core.transport.s3client import in_threads
from polly_core.transport.s3uri import SCHEME, S3Uri, parse_s3_uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECT, _READ = 10.0, 60.0
_THREADS = 8
_GROUP = 500
# There from the first file to the last.
_CLAIM = ".part"


class Deposit:
    """A new folder in a bucket. It counts as there once its last file is."""

    def __init__(self, uri: str) -> None:
        """Take where it is to be.

        Raises:
            InvalidInput: it is no place in a bucket.
            CannotProceed: S3 is not set up here.
        """
        place = parse_s3_uri(uri.rstrip("/"))
        if place.version_id is not None:
            raise InvalidInput(f"expected a place for new files, found the object version {uri}")
        self._bucket, self._prefix = place.bucket, place.key + "/"
        self.uri = f"{SCHEME}{place.bucket}/{place.key}"
        self._client = self._opened()

    def require_empty(self) -> None:
        """Refuse a place where there is anything.

        Raises:
            InvalidInput: there is.
            CannotProceed: it cannot be looked at.
        """
        found = self._call(
            lambda: self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1
            ),
            "looked at",
        )
        if found.get("KeyCount", 0):
            first = found["Contents"][0]["Key"]
            raise InvalidInput(
                f"{self.uri} is not empty (found {S3Uri(self._bucket, first)}); nothing is "
                "overwritten. Choose another place"
            )

    def send(self, folder: Path, names: Iterable[str], *, last: str) -> None:
        """Put the files of a folder, and the last one when all others are there.

        What was put is removed again where one cannot be. After a kill ``.part`` stays beside it.

        Raises:
            CannotProceed: one cannot be put.
        """
        # Of two that write to one place at the same time, one is refused here.
        self._call(
            lambda: self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + _CLAIM, Body=b"", IfNoneMatch="*"
            ),
            "written",
        )
        sent = [_CLAIM]
        try:
            for group in _groups(names):
                sent.extend(group)
                in_threads(
                    lambda number, group=group: self._put(folder, group[number - 1]),  # type: ignore[misc]
                    len(group),
                    threads=_THREADS,
                )
            self._put(folder, last)
        except BaseException:
            self._remove(sent)
            raise
        self._remove([_CLAIM])

    def _put(self, folder: Path, name: str) -> None:
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import TransferConfig
        from botocore.exceptions import BotoCoreError

        try:
            self._client.upload_file(
                str(folder / name),
                self._bucket,
                self._prefix + name,
                Config=TransferConfig(use_threads=False),
            )
        except (S3UploadFailedError, BotoCoreError) as error:
            raise self._failed("written", str(error)) from error

    def _remove(self, names: Iterable[str]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        for name in names:
            try:
                self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)
            except (BotoCoreError, ClientError) as error:
                log.warning("%s%s could not be removed: %s", self._prefix, name, error)
                return

    def _call(self, action: Callable[[], T], what: str) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return action()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise self._failed(what, code or "it was refused") from error
        except BotoCoreError as error:
            raise self._failed(what, str(error)) from error

    def _failed(self, what: str, reason: str) -> CannotProceed:
        return CannotProceed(
            f"{self.uri} cannot be {what}: {reason}. Check the bucket and your own access to it "
            "(AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3)"
        )

    def _opened(self) -> "S3Client":
        from boto3.session import Session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            connect_timeout=_CONNECT,
            read_timeout=_READ,
            max_pool_connections=_THREADS,
            retries={"mode": "standard", "total_max_attempts": 4},
        )
        try:
            return Session().client("s3", config=config)
        except (BotoCoreError, ValueError) as error:
            raise self._failed("reached", str(error)) from error


def _groups(names: Iterable[str]) -> Iterator[list[str]]:
    each = iter(names)
    while group := list(islice(each, _GROUP)):
        yield group
