"""The HTTP server in a thread of this process."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from polly_core.errors import CannotProceed
from polly_core.server.connection import CuttableProtocol

_START_SECONDS = 30.0
_STOP_SECONDS = 10
# Longer than clients keep idle connections, so that a server never closes one on which a
# write is just being sent.
_KEEP_ALIVE_SECONDS = 120


def listen(host: str, port: int, *, preferred: int = 0) -> socket.socket:
    """A listening socket. With port 0: on ``preferred`` where that is free, else on any.

    Raises:
        CannotProceed: the port is in use, or the address is not this machine's.
    """
    if port == 0 and preferred:
        try:
            return _bind(host, preferred)
        except OSError:
            return _listen(host, 0)
    return _listen(host, port)


class Listener:
    """Serves an application on a socket until it is stopped."""

    def __init__(
        self,
        app: Callable[..., Any],
        server_socket: socket.socket,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = server_socket
        self._sleep = sleep
        self._monotonic = monotonic
        config = uvicorn.Config(
            app,
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive() and self._server.started

    def start(self) -> None:
        """Return when requests are answered.

        Raises:
            CannotProceed: it did not start.
        """
        self._thread.start()
        deadline = self._monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or self._monotonic() > deadline:
                self.stop()
                raise CannotProceed("The HTTP server did not start; the log says why")
            self._sleep(0.01)

    def stop(self) -> None:
        """Finish the requests under way (10 s at most) and stop. Twice does no harm."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS + 2)
            self._server.force_exit = True
            self._thread.join(_STOP_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return _bind(host, port)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotProceed(
            f"The atlas cannot listen on {host} port {port}: {reason}. Stop the program that "
            "uses the port, or choose another with --port (0 takes a free one)"
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    server_socket = socket.socket(family, kind, protocol)
    try:
        server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server_socket.bind(address)
        server_socket.listen(2048)
    except OSError:
        server_socket.close()
        raise
    return server_socket
