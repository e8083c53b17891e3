"""The only way to the service: one pool to one host, time-outs everywhere, errors converted once.

The pool is bound to its host, so the key can reach no other one, whatever an answer says.
"""

import json
import re
from dataclasses import dataclass
from importlib import metadata
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from polly_core.errors import (
    CannotProceed,
    CatalogError,
    InvalidInput,
    NoConnection,
    OutcomeUnknown,
    ReadFailed,
    RepositoryLocked,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import API_KEY_HEADER, CONTENT_TYPE
from polly_core.transport.answers import Answer, failure
from polly_core.transport.connections import Connections, LostError
from polly_core.transport.dialling import NotConnectedError, UntrustedError
from polly_core.transport.retry import NO_RETRY, Retrier
from polly_core.transport.service import Service

DEFAULT_REGION = "us-east-1"
_MAX_REDIRECTS = 5
_LEADS_ELSEWHERE = re.compile(r"[/\\\x00-\x1f\x7f]")
_FOLLOWED = frozenset({301, 302, 303, 307, 308})


def user_agent() -> str:
    """Name and version of this program."""
    try:
        version = metadata.version("polly-bulk")
    except metadata.PackageNotFoundError:
        version = "0"
    return f"polly-bulk/{version}"


def bucket_region(
    bucket: str,
    connect_timeout: float,
    read_timeout: float,
    *,
    store_url: str = "https://s3.amazonaws.com",
) -> str:
    """The region of an Amazon S3 bucket, which the store tells anybody; else the default one."""
    timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
    with urllib3.connection_from_url(store_url, timeout=timeout, retries=False) as pool:
        try:
            answer = pool.urlopen("HEAD", f"/{bucket}", redirect=False)
        except (HTTPError, OSError):
            return DEFAULT_REGION
    return answer.headers.get("x-amz-bucket-region", DEFAULT_REGION)


def segment(text: str) -> str:
    """An id or file name as one part of a path, fully quoted.

    Raises:
        InvalidInput: it is empty, ``.`` or ``..``, or holds a slash or a control character. Such
            a part would lead to another address, quoted or not: servers unquote before routing.
    """
    if text in {"", ".", ".."} or _LEADS_ELSEWHERE.search(text):
        raise InvalidInput(
            f"{text!r} cannot be an id or a file name: it is empty, dots only, or holds a slash "
            "or a control character; nothing was sent"
        )
    return quote(text, safe="")


def encode_body(document: JsonObject) -> bytes:
    """The bytes of a request body.

    Raises:
        InvalidInput: a value is not JSON, NaN and infinity included.
    """
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"the values to be sent are not JSON ({error}); nothing was sent. "
            "JSON knows text, finite numbers, true, false, null, lists and objects"
        ) from error


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes | None = None
    write: bool = False


class Channel:
    """Sends one request once. Thread-safe.

    Raises a ``CatalogError`` for everything but a 2xx answer, and ``CannotProceed`` where the
    service's certificate is not trusted.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._prefix = urlsplit(service.api_url).path
        self._connections = Connections(
            service,
            {
                API_KEY_HEADER: service.api_key.get_secret_value(),
                "Content-Type": CONTENT_TYPE,
                "Accept-Encoding": "gzip",
                "User-Agent": user_agent(),
            },
        )

    def close(self) -> None:
        """Close every idle connection."""
        self._connections.close()

    def send(self, request: _Request) -> Answer:
        """The answer to one request, redirects of reads within the service followed."""
        path = self._prefix + request.path
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._exchange(request, path)
            target = None if request.write else self._redirect(answer)
            if target is None:
                break
            path = target
        else:
            raise ReadFailed("Too many redirects", f"GET {request.path}", status=answer.status)
        error = failure(answer, self.service, write=request.write)
        if error is not None:
            raise error
        return answer

    def _exchange(self, request: _Request, path: str) -> Answer:
        url = self.service.api_url
        try:
            return self._connections.exchange(request.method, path, request.body)
        except NotConnectedError as error:
            raise NoConnection(f"No connection to {url}", str(error)) from error
        except UntrustedError as error:
            raise CannotProceed(
                f"the certificate of {url} is not trusted: {error}; check the address and the "
                "certificates of this machine"
            ) from error
        except LostError as error:
            what = f"{request.method} {request.path.partition('?')[0]}: {error}"
            if request.write:
                title = "The answer was lost; the write may have happened"
                raise OutcomeUnknown(title, what) from error
            raise ReadFailed("The answer was lost", what) from error

    def _redirect(self, answer: Answer) -> str | None:
        """The path to go on at, where the answer leads to another place of the same service."""
        location = answer.headers.get("location")
        if answer.status not in _FOLLOWED or not location:
            return None
        parts = urlsplit(location)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        here = urlsplit(self.service.api_url)
        if parts.netloc and origin != f"{here.scheme}://{here.netloc}".lower():
            return None
        if not parts.path.startswith("/"):
            return None
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


class ReadSession:
    """Reads, every one retried. It can send GET and the request for session tokens, no more."""

    def __init__(self, channel: Channel, retrier: Retrier) -> None:
        self._channel = channel
        self._retrier = retrier

    @property
    def service(self) -> Service:
        """Whom it speaks to."""
        return self._channel.service

    def get(self, path: str) -> Answer:
        """The answer to GET. Raises ``ReadFailed`` once every retry failed."""
        return self._read(_Request("GET", path))

    def post_session_tokens(self, document: JsonObject) -> Answer:
        """Ask for temporary credentials: a POST that changes nothing, so it is retried too."""
        return self._read(_Request("POST", "/session-tokens", encode_body(document)))

    def _read(self, request: _Request) -> Answer:
        try:
            return self._retrier.run(lambda: self._channel.send(request))
        except RepositoryLocked:
            raise
        except CatalogError as error:
            if error.retryable:
                raise _exhausted(error, request) from error
            raise


def _exhausted(error: CatalogError, request: _Request) -> ReadFailed:
    path = request.path.partition("?")[0]
    return ReadFailed(
        error.title,
        f"{request.method} {path} failed after every retry. {error.detail}".rstrip(),
        status=error.status,
        retry_after=error.retry_after,
    )


class WriteSession(ReadSession):
    """Reads, and writes that are repeated only when they certainly did not happen.

    ``retry_writes=False`` sends each write once, for callers that keep a record of every sending.
    """

    def __init__(self, channel: Channel, retrier: Retrier, *, retry_writes: bool = True) -> None:
        super().__init__(channel, retrier)
        self._writes = retrier if retry_writes else _once(retrier)

    def post(self, path: str, document: JsonObject) -> Answer:
        """Create. Raises ``OutcomeUnknown`` when the answer does not say what happened."""
        return self._write(_Request("POST", path, encode_body(document), write=True))

    def patch(self, path: str, document: JsonObject) -> Answer:
        """Change. Raises ``OutcomeUnknown`` when the answer does not say what happened."""
        return self._write(_Request("PATCH", path, encode_body(document), write=True))

    def delete(self, path: str) -> Answer:
        """Delete. Raises ``OutcomeUnknown`` when the answer does not say what happened."""
        return self._write(_Request("DELETE", path, write=True))

    def _write(self, request: _Request) -> Answer:
        return self._writes.run(lambda: self._channel.send(request))


def _once(retrier: Retrier) -> Retrier:
    return Retrier(NO_RETRY, retrier.sleep, retrier.clock, retrier.chance, retrier.on_retry)
