"""Forwards TCP connections and counts the bytes that pass: what a client really received."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CHUNK = 64 * 1024


@dataclass
class Tap:
    """A listener on loopback in front of a server. Thread-safe."""

    url: str
    """What the client is given in place of the server's."""
    received: int = 0
    """Bytes that went to the client, every header included."""
    sent: int = 0
    """Bytes that came from it."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *, received: int = 0, sent: int = 0) -> None:
        """Add what passed."""
        with self._lock:
            self.received += received
            self.sent += sent


@contextmanager
def tap(server_url: str) -> Iterator[Tap]:
    """A tap in front of a plain HTTP server; its connections end with it."""
    parts = urlsplit(server_url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        found = Tap(f"http://127.0.0.1:{listener.getsockname()[1]}{parts.path}")
        accepting = threading.Thread(target=_accept, args=(listener, address, found, stack))
        accepting.start()
        try:
            yield found
        finally:
            # Closing it would not wake who waits at it.
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(
    listener: socket.socket, address: tuple[str, int], found: Tap, stack: ExitStack
) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(address)
        except OSError:
            client.close()
            continue
        for source, target, back in ((client, server, False), (server, client, True)):
            passing = threading.Thread(target=_pass_on, args=(source, target, found, back))
            passing.start()
            stack.callback(_end, source, passing)


def _end(source: socket.socket, passing: threading.Thread) -> None:
    with suppress(OSError):
        source.shutdown(socket.SHUT_RDWR)
    passing.join()
    source.close()


def _pass_on(source: socket.socket, target: socket.socket, found: Tap, back: bool) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            if back:
                found.count(received=len(chunk))
            else:
                found.count(sent=len(chunk))
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
