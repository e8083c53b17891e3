"""Connections to one host, kept open and used again; proxies as the environment says."""

import os
import ssl
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from polly_core.transport.answers import Answer
from polly_core.transport.service import Service

# Brackets and everything that is not ASCII are quoted; quoted parts stay as they are.
_SAFE_IN_TARGET = "/?&=%:@!$'()*+,;~-._"


class NotConnectedError(Exception):
    """The connection could not be made: certainly nothing was sent."""


class UntrustedError(Exception):
    """The host's certificate is not trusted: certainly nothing was sent."""


class LostError(Exception):
    """The exchange broke off after it had begun: what was sent may have arrived."""


class Connections:
    """At most so many connections to the host of a service. Thread-safe.

    A pool is bound to its host, so the key in the headers can reach no other one.
    """

    def __init__(self, service: Service, headers: dict[str, str]) -> None:
        parts = urlsplit(service.api_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._headers = headers
        self._manager = _manager(service)
        self._pool = self._manager.connection_from_url(self._origin)

    def exchange(self, method: str, target: str, body: bytes | None) -> Answer:
        """One request and its whole answer. Waits where all connections are busy.

        Raises:
            NotConnectedError, UntrustedError: nothing was sent.
            LostError: the answer did not come, or not wholly.
        """
        quoted = quote(target, safe=_SAFE_IN_TARGET)
        if self._pool.proxy is not None and self._pool.scheme == "http":
            # A proxy of plain HTTP wants the whole address.
            quoted = self._origin + quoted
        try:
            response = self._pool.urlopen(
                method, quoted, body=body, headers=self._headers, redirect=False
            )
        except SSLError as error:
            raise _of_tls(error) from error
        except (NewConnectionError, ConnectTimeoutError, ProxyError) as error:
            raise NotConnectedError(_reason(error)) from error
        except (HTTPError, OSError) as error:
            raise LostError(_reason(error)) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, response.data)

    def close(self) -> None:
        """Close every idle connection."""
        self._manager.clear()


def _manager(service: Service) -> urllib3.PoolManager:
    # Whether a proxy applies to a host is decided as requests does it, which users know.
    from requests.utils import get_environ_proxies

    timeout = urllib3.Timeout(connect=service.connect_timeout, read=service.read_timeout)
    scheme = urlsplit(service.api_url).scheme
    found = get_environ_proxies(service.api_url)
    proxy = found.get(scheme) or found.get("all")
    options: dict[str, Any] = {
        "maxsize": service.pool_size,
        "block": True,
        "retries": False,
        "timeout": timeout,
        "ssl_context": _trust() if "https" in {scheme, urlsplit(proxy or "").scheme} else None,
    }
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _trust() -> ssl.SSLContext:
    """The system's certificates, or those of the variables that requests reads."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle or None)


def _of_tls(error: SSLError) -> Exception:
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedError(cause.verify_message)
    return LostError(_reason(error))


def _reason(error: Exception) -> str:
    """Why, without the object that urllib3 puts before it."""
    text = str(error)
    return text.rpartition(">: ")[2] or type(error).__name__
