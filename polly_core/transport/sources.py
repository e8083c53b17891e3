"""Files that a run is given by path or URI: changes, vocabularies, manifests, lists of ids."""

import hashlib
import re
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from polly_core.errors import InvalidInput

_SCHEMES = frozenset({"http", "https", "s3", "file"})
_TIMEOUT = (10.0, 60.0)
_CHUNK = 1 << 20
_USERINFO = re.compile(r"(\w://)[^/?#\s]*@")
_QUERY = re.compile(r"\?[^\s'\"<>)]+")
_SECRET = re.compile(
    r"(sig|signature|token|secret|password|passwd|pwd|credentials?|key|keyid|auth|authorization)$",
    re.IGNORECASE,
)

PATTERN = (
    r"^(?!\s*\w+://([^/?#]*@|.*[?&](.*[-_])?"
    r"([Ss]ig(nature)?|[Tt]oken|[Ss]ecret|[Pp]assword|[Cc]redential|[Kk]ey)=))"
)
"""For JSON Schema, which knows no more: what ``without_secrets`` refuses in its usual spellings."""


def without_secrets(uri: str) -> str:
    """The same, where it holds none.

    Raises:
        InvalidInput: it holds a user's name or password, or a query that gives access. What a run
            is given stands in the ledger and in Prefect for all to see. Nothing of it is repeated.
    """
    if _USERINFO.search(uri):
        raise InvalidInput(
            f"the URL {without_query(uri)} holds a user name or a password, and what a run is "
            "given is recorded for everybody to see; give an s3:// URI, whose credentials come "
            "from the environment, or a path"
        )
    for name, _value in parse_qsl(urlsplit(uri).query if "://" in uri else "", True):
        if _SECRET.search(name):
            raise InvalidInput(
                f"the URL {without_query(uri)} is signed or holds a key ({name}), and what a run "
                "is given is recorded for everybody to see; give an s3:// URI, whose credentials "
                "come from the environment, or a path"
            )
    return uri


def without_query(text: str) -> str:
    """A URI, or a text with URIs in it, as it may be shown."""
    bare = _USERINFO.sub(r"\1", text)
    return _QUERY.sub("?…", bare) if "://" in text or "url: " in text else bare


def given_source(uri: str) -> str:
    """What a user names as a source: the same place, independent of the working directory.

    Raises:
        InvalidInput: it holds secrets.
    """
    return absolute(without_secrets(uri))


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
        InvalidInput: it cannot be read, or holds secrets; the message names it.
    """
    local = _local(without_secrets(uri))
    try:
        if local is not None:
            return local.read_bytes()
        return _download(uri)
    except OSError as error:
        raise _unreadable(uri, error) from error


def fetch_source(uri: str, folder: Path) -> tuple[Path, str]:
    """A local file with the content, and its SHA-256 in hex. Local files stay where they are.

    Raises:
        InvalidInput: it cannot be read, or holds secrets; the message names it.
    """
    local = _local(without_secrets(uri))
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
        # Its text and those of its causes hold the whole URL, after a redirect another one.
        raise _unreadable(uri, error) from None
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
    reason = getattr(error, "strerror", None) or without_query(str(error))
    return InvalidInput(
        f"{without_query(uri)} cannot be read: {reason}; check the path or URI and its access"
    )
