"""Opens connections to the host of a service: proxies, certificates, time-outs."""

import os
import ssl
from http.client import HTTPException
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from polly_core.transport.service import Service


class NotConnectedError(Exception):
    """The connection could not be made: certainly nothing was sent."""


class UntrustedError(Exception):
    """The host's certificate is not trusted: certainly nothing was sent."""


class Dialler:
    """Knows the way to one host; every connection it opens leads there. Thread-safe."""

    def __init__(self, service: Service) -> None:
        parts = urlsplit(service.api_url)
        self._scheme = parts.scheme
        self._host = parts.hostname or ""
        self._port = parts.port
        self._connect_timeout = service.connect_timeout
        self._read_timeout = service.read_timeout
        self._proxy = _proxy(service.api_url, parts.scheme)
        through = self._proxy.proxy.scheme if self._proxy and self._proxy.proxy else None
        self._context = _trust() if "https" in {parts.scheme, through} else None

    @property
    def forwards(self) -> bool:
        """A proxy is told the whole address in each request; it makes no tunnel for plain HTTP."""
        return self._proxy is not None and self._scheme == "http"

    @property
    def forward_headers(self) -> dict[str, str]:
        """What a proxy wants to be told with each request that it forwards."""
        return dict(self._proxy.proxy_headers) if self._proxy is not None and self.forwards else {}

    def open(self) -> HTTPConnection:
        """A connection whose every read waits for the service's read time-out at most.

        Raises:
            NotConnectedError, UntrustedError: nothing was sent.
        """
        connection = self._new()
        try:
            connection.connect()
            connection.sock.settimeout(self._read_timeout)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise UntrustedError(error.verify_message) from error
        except (HTTPError, HTTPException, OSError) as error:
            connection.close()
            raise NotConnectedError(reason(error)) from error
        return connection

    def _new(self) -> HTTPConnection:
        if self._proxy is None or self._proxy.proxy is None:
            return self._connection(self._scheme, self._host, self._port)
        proxy = self._proxy.proxy
        if self.forwards:
            return self._connection(proxy.scheme or "http", proxy.host or "", proxy.port)
        connection = self._connection("https", proxy.host or "", proxy.port)
        connection.set_tunnel(
            self._host,
            self._port or 443,
            headers=self._proxy.proxy_headers,
            scheme=proxy.scheme or "http",
        )
        return connection

    def _connection(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        proxy, config = None, None
        if self._proxy is not None:
            proxy, config = self._proxy.proxy, self._proxy.proxy_config
        timeout = self._connect_timeout
        if scheme == "http":
            return HTTPConnection(host, port, timeout=timeout, proxy=proxy, proxy_config=config)
        return HTTPSConnection(
            host,
            port,
            timeout=timeout,
            proxy=proxy,
            proxy_config=config,
            ssl_context=self._context,
        )


def _proxy(url: str, scheme: str) -> urllib3.ProxyManager | None:
    if not getproxies().keys() & {scheme, "all"}:
        return None
    # Whether a proxy applies to a host is decided as requests does it, which users know.
    from requests.utils import get_environ_proxies

    found = get_environ_proxies(url)
    address = found.get(scheme) or found.get("all")
    if not address:
        return None
    address = address if "://" in address else f"http://{address}"
    auth = urllib3.util.parse_url(address).auth
    headers = urllib3.make_headers(proxy_basic_auth=unquote(auth)) if auth else None
    return urllib3.ProxyManager(address, proxy_headers=headers)


def _trust() -> ssl.SSLContext:
    """The system's certificates, or those of the variables that requests reads."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle or None)


def reason(error: Exception) -> str:
    """Why, without the object that urllib3 puts before it."""
    text = str(error)
    return text.rpartition(">: ")[2] or type(error).__name__
