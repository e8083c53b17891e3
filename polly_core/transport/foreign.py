"""Files outside of the atlas that a run brings in: streamed to disk, whatever their size."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from polly_core.errors import InvalidInput, StorageUnavailable
from polly_core.transport.s3uri import SCHEME, parse_s3_uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BLOCK = 1024 * 1024
_CONNECT, _READ = 10.0, 60.0
_POOL = 64
_REMOTE = frozenset({"http", "https", "s3"})


def local_path(uri: str) -> Path | None:
    """The local file that is meant; None where it is somewhere else."""
    parts = urlsplit(uri)
    if parts.scheme.lower() in _REMOTE:
        return None
    return Path(unquote(parts.path)) if parts.scheme.lower() == "file" else Path(uri).expanduser()


def file_name(uri: str) -> str:
    """The last part of what a path or URI names."""
    local = local_path(uri)
    if local is not None:
        return local.name
    return unquote(urlsplit(uri).path).rpartition("/")[2]


class ForeignFiles:
    """Fetches files that belong to the operator: ``https://`` and ``s3://``. Thread-safe.

    S3 is read with the environment's own credentials. Nothing is imported before the first one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    def fetch(self, uri: str, target: Path) -> None:
        """Write the content into a file, block by block.

        Raises:
            InvalidInput: there is no such file, or no access to it.
            StorageUnavailable: it cannot be reached for now.
        """
        if uri.startswith(SCHEME):
            self._from_s3(uri, target)
        else:
            _from_http(uri, target)

    def _from_s3(self, uri: str, target: Path) -> None:
        from boto3.s3.transfer import TransferConfig
        from botocore.exceptions import BotoCoreError, ClientError

        found = parse_s3_uri(uri)
        extra = {"VersionId": found.version_id} if found.version_id else {}
        try:
            self._s3().download_file(
                found.bucket,
                found.key,
                str(target),
                ExtraArgs=extra,
                Config=TransferConfig(use_threads=False),
            )
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise _failed(uri, error, later=status >= 500) from error
        except BotoCoreError as error:
            raise _failed(uri, error, later="Credentials" not in type(error).__name__) from error

    def _s3(self) -> "S3Client":
        with self._lock:
            if self._client is None:
                from boto3.session import Session
                from botocore.config import Config

                config = Config(
                    connect_timeout=_CONNECT,
                    read_timeout=_READ,
                    max_pool_connections=_POOL,
                    retries={"mode": "standard", "total_max_attempts": 4},
                )
                self._client = Session().client("s3", config=config)
            return self._client


def _from_http(uri: str, target: Path) -> None:
    import requests

    try:
        with requests.get(uri, stream=True, timeout=(_CONNECT, _READ)) as answer:
            if answer.status_code >= 400:
                later = answer.status_code >= 500 or answer.status_code == 429
                raise _failed(uri, f"{answer.status_code} {answer.reason}", later=later)
            with target.open("wb") as file:
                for block in answer.iter_content(_BLOCK):
                    file.write(block)
    except requests.RequestException as error:
        raise _failed(uri, error, later=True) from error


def _failed(uri: str, error: Exception | str, *, later: bool) -> InvalidInput | StorageUnavailable:
    if later:
        return StorageUnavailable(f"{uri} cannot be read for now: {error}")
    return InvalidInput(f"{uri} cannot be read: {error}; check the URI and your access to it")
