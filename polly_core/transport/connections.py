"""Connections to one host, kept open and used again."""

import re
import select
import weakref
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from urllib.parse import quote, urlsplit

from urllib3.connection import HTTPConnection

from polly_core.transport.answers import Answer
from polly_core.transport.dialling import Dialler, reason
from polly_core.transport.http1 import BrokenAnswerError, Exchanger
from polly_core.transport.service import Service

# Brackets and everything that is not ASCII are quoted; quoted parts stay as they are.
_SAFE_IN_TARGET = "/?&=%:@!$'()*+,;~-._"
_IS_SAFE = re.compile(rf"[0-9A-Za-z{re.escape(_SAFE_IN_TARGET)}]*").fullmatch


class LostError(Exception):
    """The exchange broke off after it had begun: what was sent may have arrived."""


class _Line:
    """One open connection."""

    __slots__ = ("_connection", "_polled", "exchanger")

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self._polled = _polled(connection)
        self.exchanger = Exchanger(connection.sock)

    @property
    def usable(self) -> bool:
        """Nothing came since the last answer, no end of the connection either."""
        if self._polled is None:
            return self._connection.is_connected
        return not self._polled.poll(0)

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()


def _polled(connection: HTTPConnection) -> "select.poll | None":
    """What is asked before every use, made once; None where the system has no such thing."""
    if not hasattr(select, "poll"):
        return None
    polled = select.poll()
    polled.register(connection.sock, select.POLLIN)
    return polled


class Connections:
    """At most so many connections to the host of a service. Thread-safe.

    Every one of them leads to that host, so the key in the headers can reach no other one.
    """

    def __init__(self, service: Service, headers: dict[str, str]) -> None:
        self._dialler = Dialler(service)
        self._read_timeout = service.read_timeout
        host = _host(service.api_url)
        self._before = f"{urlsplit(service.api_url).scheme}://{host}"
        sent = {"Host": host, **headers, **self._dialler.forward_headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._idle: deque[_Line] = deque()
        self._slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(service.pool_size):
            self._slots.put(None)
        self._closed = False
        # Whoever forgets to close leaves no open sockets behind.
        weakref.finalize(self, _hang_up, self._idle)

    def exchange(self, method: str, target: str, body: bytes | None) -> Answer:
        """One request and its whole answer. Waits where all connections are busy.

        Raises:
            NotConnectedError, UntrustedError: nothing was sent.
            LostError: the answer did not come, or not wholly.
        """
        head = self._head(method, target, body)
        self._slots.get()
        try:
            return self._exchange(head, body)
        finally:
            self._slots.put(None)

    def close(self) -> None:
        """Close every idle connection; those in use are closed when their answer came."""
        self._closed = True
        _hang_up(self._idle)

    def _exchange(self, head: bytes, body: bytes | None) -> Answer:
        line = self._line()
        try:
            return line.exchanger.exchange(head, body)
        except TimeoutError as error:
            raise LostError(f"no answer within {self._read_timeout:g} s") from error
        except (BrokenAnswerError, OSError) as error:
            raise LostError(reason(error)) from error
        finally:
            if line.exchanger.reusable:
                self._idle.append(line)
            else:
                line.close()
            if self._closed:
                _hang_up(self._idle)

    def _line(self) -> _Line:
        with suppress(IndexError):
            while True:
                # The last one used is the least likely to have been closed by the service.
                line = self._idle.pop()
                if line.usable:
                    return line
                line.close()
        return _Line(self._dialler.open())

    def _head(self, method: str, target: str, body: bytes | None) -> bytes:
        quoted = target if _IS_SAFE(target) else quote(target, safe=_SAFE_IN_TARGET)
        if self._dialler.forwards:
            quoted = self._before + quoted
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        return f"{method} {quoted} HTTP/1.1\r\n{self._headers}{length}\r\n".encode("latin-1")


def _hang_up(idle: deque[_Line]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


def _host(url: str) -> str:
    """The host with its port, as ``Host`` has it."""
    found = urlsplit(url).netloc
    return found if found.isascii() else found.encode("idna").decode()
