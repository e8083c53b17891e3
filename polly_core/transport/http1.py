"""One request and its whole answer over an open connection, HTTP/1.1, parsed by httptools.

Why not by urllib3, which opens the connections: it spends 0.3 ms of CPU on every exchange, most of
it on an answer's headers, and this 0.1 ms. A bulk run makes one exchange or two per dataset.
"""

import gzip
import zlib
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from polly_core.transport.answers import Answer

_CHUNK = 64 * 1024
_NO_BODY = frozenset({204, 304})


class BrokenAnswerError(Exception):
    """What came is no answer, or not a whole one."""


class Stream(Protocol):
    """A connected socket, plain or encrypted."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...


class Exchanger:
    """Requests and answers on one connection, one after the other. Of no use after an error."""

    reusable = False
    """The connection may carry another request."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._parser = HttpResponseParser(self)
        self._answer: Answer | None = None
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._status = 0
        self._keeps = False
        self._until_close = False

    def exchange(self, head: bytes, body: bytes | None) -> Answer:
        """Send a request line with headers, and a body; wait for the whole answer.

        Raises:
            BrokenAnswerError, OSError: the answer did not come, or not wholly.
        """
        self._answer = None
        self.reusable = False
        sent = self._send(head, body)
        while self._answer is None:
            data = self._stream.recv(_CHUNK)
            if data:
                self._feed(data)
            else:
                self._end()
        answer = _unpacked(self._answer)
        self.reusable = sent and self._keeps
        return answer

    def _send(self, head: bytes, body: bytes | None) -> bool:
        """Whether all of it went out: a service may refuse a request before it has read it all."""
        try:
            if body is None:
                self._stream.sendall(head)
            elif len(body) <= _CHUNK:
                self._stream.sendall(head + body)
            else:
                self._stream.sendall(head)
                self._stream.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # What follows a whole answer was not asked for; it is no part of the next one either.
            self._keeps = False
            if self._answer is None:
                raise BrokenAnswerError(f"the answer is not HTTP/1.1: {error}") from error

    def _end(self) -> None:
        if not self._until_close:
            raise BrokenAnswerError("the service closed the connection before its answer was whole")
        self._complete()

    def _complete(self) -> None:
        self._until_close = False
        self._answer = Answer(self._status, self._headers, b"".join(self._parts))

    # -- called by the parser -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answer is not None:
            # A second answer to one request must not be taken for that of the next.
            raise BrokenAnswerError("the service answered twice")
        self._headers, self._parts = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._keeps = self._parser.should_keep_alive()
        coding = self._headers.get("transfer-encoding", "").lower()
        self._until_close = (
            self._status >= 200
            and self._status not in _NO_BODY
            and "content-length" not in self._headers
            and "chunked" not in coding
        )

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        # 100 and its like only announce the answer.
        if self._status >= 200:
            self._complete()


def _unpacked(answer: Answer) -> Answer:
    coding = answer.headers.get("content-encoding", "").lower()
    if coding in {"", "identity"} or not answer.body:
        return answer
    if coding not in {"gzip", "x-gzip"}:
        raise BrokenAnswerError(f"the answer is packed as {coding!r}, which was not asked for")
    try:
        body = gzip.decompress(answer.body)
    except (OSError, EOFError, zlib.error) as error:
        raise BrokenAnswerError(f"the answer cannot be unpacked: {error}") from error
    return Answer(answer.status, answer.headers, body)
