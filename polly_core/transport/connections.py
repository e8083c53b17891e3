"""Connections to one host, kept open and used again, each by one thread at a time.

The standard library's HTTP with a pool in front of it: half the CPU per call of urllib3, which
is what counts when a hundred thousand small calls go out.
"""

import http.client
import ssl
import threading
import weakref
import zlib
from collections import deque
from urllib.parse import quote, urlsplit

from urllib3.util import wait_for_read

from polly_core.transport.answers import Answer
from polly_core.transport.service import Service

_PORTS = {"http": 80, "https": 443}
# Brackets and everything that is not ASCII are quoted; quoted parts stay as they are.
_SAFE_IN_TARGET = "/?&=%:@!$'()*+,;~-._"


class NotConnectedError(Exception):
    """The connection could not be made: certainly nothing was sent."""


class UntrustedError(Exception):
    """The host's certificate is not trusted: certainly nothing was sent."""


class LostError(Exception):
    """The exchange broke off after it had begun: what was sent may have arrived."""


class Connections:
    """At most so many connections to the host of a service. Thread-safe."""

    def __init__(self, service: Service, headers: dict[str, str]) -> None:
        parts = urlsplit(service.api_url)
        self._secure = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._timeouts = (service.connect_timeout, service.read_timeout)
        self._headers = headers
        self._slots = threading.BoundedSemaphore(service.pool_size)
        self._idle: deque[http.client.HTTPConnection] = deque()
        # A pool that nobody holds any more leaves no open sockets behind.
        weakref.finalize(self, _close_all, self._idle)

    def exchange(self, method: str, target: str, body: bytes | None) -> Answer:
        """One request and its whole answer. Waits where all connections are busy.

        Raises:
            NotConnectedError, UntrustedError: nothing was sent.
            LostError: the answer did not come, or not wholly.
        """
        with self._slots:
            connection = self._take()
            try:
                connection.request(
                    method, quote(target, safe=_SAFE_IN_TARGET), body=body, headers=self._headers
                )
                response = connection.getresponse()
                data = response.read()
                answer = _answer(response, data)
            except (OSError, http.client.HTTPException, zlib.error) as error:
                connection.close()
                raise LostError(str(error) or type(error).__name__) from error
            except BaseException:
                # An interruption leaves an answer on its way that belongs to nobody.
                connection.close()
                raise
            if connection.sock is not None:
                self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close every idle connection."""
        _close_all(self._idle)

    def _take(self) -> http.client.HTTPConnection:
        """An open connection: one that is idle and still alive, else a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._open()
            # An idle connection has nothing to say: if it does, the host has closed it.
            if not wait_for_read(connection.sock, timeout=0):
                return connection
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        connect_timeout, read_timeout = self._timeouts
        connection: http.client.HTTPConnection
        if self._secure is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=connect_timeout)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=connect_timeout, context=self._secure
            )
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise UntrustedError(error.verify_message) from error
        except (OSError, UnicodeError) as error:
            raise NotConnectedError(str(error) or type(error).__name__) from error
        connection.sock.settimeout(read_timeout)
        return connection


def _close_all(idle: deque[http.client.HTTPConnection]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


def _answer(response: http.client.HTTPResponse, data: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    if headers.get("content-encoding", "").lower() in {"gzip", "x-gzip"} and data:
        data = zlib.decompress(data, wbits=31)
    return Answer(response.status, headers, data)
