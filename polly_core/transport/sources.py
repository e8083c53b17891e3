"""Files that a run is given by path or URI: changes, vocabularies, manifests, lists of ids."""

import hashlib
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urljoin, urlsplit

from polly_core.errors import InvalidInput

_SCHEMES = frozenset({"http", "https", "s3", "file"})
_TIMEOUT = (10.0, 60.0)
_CHUNK = 1 << 20


def absolute(uri: str) -> str:
    """The same place, independent of the working directory."""
    return uri if _scheme(uri) else str(Path(uri).expanduser().resolve())


def beside(base: str | None, name: str) -> str:
    """Where a name leads that a file at ``base`` refers to; from the working directory if None."""
    if base is None or _scheme(name) or Path(name).is_absolute():
        return name
    if _scheme(base) in {"http", "https", "file"}:
        return urljoin(base, name)
    folder = base.rpartition("/")[0]
    return f"{folder}/{name}" if folder else name


def read_source(uri: str) -> bytes:
    """The content at a path, ``file://``, ``http(s)://`` or ``s3://``.

    Raises:
        InvalidInput: it cannot be read; the message names it.
    """
    local = _local(uri)
    try:
        if local is not None:
            return local.read_bytes()
        return _download(uri)
    except OSError as error:
        raise _unreadable(uri, error) from error


def fetch_source(uri: str, folder: Path) -> tuple[Path, str]:
    """A local file with the content, and its SHA-256 in hex. Local files stay where they are.

    Raises:
        InvalidInput: it cannot be read; the message names it.
    """
    local = _local(uri)
    if local is None:
        folder.mkdir(parents=True, exist_ok=True)
        local = folder / (Path(urlsplit(uri).path).name or "source")
        local.write_bytes(read_source(uri))
    try:
        with local.open("rb") as stream:
            return local, _sha256(stream)
    except OSError as error:
        raise _unreadable(uri, error) from error


def _sha256(stream: BinaryIO) -> str:
    found = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()


def _scheme(uri: str) -> str:
    scheme = urlsplit(uri).scheme.lower()
    return scheme if scheme in _SCHEMES else ""


def _local(uri: str) -> Path | None:
    scheme = _scheme(uri)
    if not scheme:
        return Path(uri).expanduser()
    return Path(unquote(urlsplit(uri).path)) if scheme == "file" else None


def _download(uri: str) -> bytes:
    if _scheme(uri) == "s3":
        return _from_s3(uri)
    import requests

    try:
        answer = requests.get(uri, timeout=_TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _unreadable(uri, error) from error
    return answer.content


def _from_s3(uri: str) -> bytes:
    """With the environment's own credentials: such a file belongs to the operator."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(uri)
    try:
        found = boto3.client("s3").get_object(Bucket=parts.netloc, Key=unquote(parts.path[1:]))
        return found["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: Exception) -> InvalidInput:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidInput(f"{uri} cannot be read: {reason}; check the path or URI and its access")
