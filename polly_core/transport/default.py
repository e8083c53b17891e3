"""The session that ``Polly.auth`` opens and that catalogs use which were given no other."""

import dataclasses
import threading
from typing import ClassVar

from polly_core.errors import NotAuthenticated
from polly_core.transport.retry import Retrier
from polly_core.transport.service import Service
from polly_core.transport.transport import Transport, open_transport


class PollySession:
    """One key on one service. Thread-safe.

    Credentials, connections and caches belong to it: another key or another address never sees
    them. Setting ``discover_url`` leads to another service, a self-hosted one for instance.

    Raises ``InvalidInput`` for a key or URL that cannot be used.
    """

    def __init__(
        self, service: Service, *, env: str = "polly", retrier: Retrier | None = None
    ) -> None:
        self.env = env
        self._service = service
        self._retrier = retrier
        self._lock = threading.Lock()
        self._transport: Transport | None = None

    @property
    def discover_url(self) -> str:
        """The base URL of the service."""
        return self._service.api_url

    @discover_url.setter
    def discover_url(self, url: str) -> None:
        service = dataclasses.replace(self._service, api_url=url)
        with self._lock:
            self._service, self._transport = service, None

    def transport(self) -> Transport:
        """What speaks to the service; made at the first call."""
        transport = self._transport
        if transport is not None:
            return transport
        with self._lock:
            if self._transport is None:
                self._transport = open_transport(self._service, retrier=self._retrier)
            return self._transport

    def __repr__(self) -> str:
        return f"PollySession(discover_url='{self.discover_url}')"


class DefaultSession:
    """Where the default session is kept: the tutorial's ``Polly.auth`` is process-wide."""

    _session: ClassVar[PollySession | None] = None

    @classmethod
    def set(cls, session: PollySession | None) -> None:
        """From now on every catalog without a session of its own uses this one."""
        cls._session = session

    @classmethod
    def peek(cls) -> PollySession | None:
        """The default session, or None before ``Polly.auth``."""
        return cls._session

    @classmethod
    def get(cls) -> PollySession:
        """The default session. Raises ``NotAuthenticated`` before ``Polly.auth``."""
        if cls._session is None:
            raise NotAuthenticated(
                "no session: call Polly.auth('<access key>') first, as in "
                "`from polly_core.auth import Polly`"
            )
        return cls._session
