"""The way to the service: proxies as the environment says, certificates of the machine's choice."""

import contextlib
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polly_core.transport.connections import Connections
from polly_core.transport.dialling import Dialler, NotConnectedError, UntrustedError
from tests.transport.stub import Reply, service, serving

HEADERS = {"x-api-key": "k"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's own environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for service.test that signs itself, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=service.test"
    command += " -addext subjectAltName=DNS:service.test -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Each connection is given to ``serve``; the address is host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def run() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                connection.settimeout(5)
                with connection, contextlib.suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()


class Serve:
    """A proxy that answers CONNECT as told and then is the service itself, over TLS."""

    def __init__(self, answer: bytes, certificate: Path) -> None:
        self.asked = b""
        self.request = b""
        self._answer = answer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)

    def __call__(self, connection: socket.socket) -> None:
        self.asked = connection.recv(65536)
        connection.sendall(self._answer)
        with self._context.wrap_socket(connection, server_side=True) as inside:
            self.request = inside.recv(65536)
            inside.sendall(OK)


def test_plain_requests_are_handed_to_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Reply(200, {"data": 1})) as proxy:
        address = proxy.url.removeprefix("http://")
        monkeypatch.setenv("http_proxy", f"http://us%40er:se%3Acret@{address}")
        connections = Connections(service("http://service.test:81/base"), HEADERS)
        answer = connections.exchange("GET", "/base/x", None)
        connections.close()
    assert answer.status == 200
    asked = proxy.asked[0]
    assert asked.path == "http://service.test:81/base/x"
    assert asked.headers["host"] == "service.test:81"
    login = b64encode(b"us@er:se:cret").decode()
    assert asked.headers["proxy-authorization"] == f"Basic {login}"


def test_a_proxy_without_a_scheme_is_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Reply(200, {})) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url.removeprefix("http://"))
        connections = Connections(service("http://service.test"), HEADERS)
        assert connections.exchange("GET", "/x", None).status == 200
        connections.close()


def test_hosts_that_need_no_proxy_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Reply(200, {})) as stub, serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        connections = Connections(service(stub.url), HEADERS)
        assert connections.exchange("GET", "/x", None).status == 200
        connections.close()
    assert proxy.asked == []
    assert stub.paths() == ["/x"]


def test_encrypted_requests_go_through_a_tunnel(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    serve = Serve(b"HTTP/1.1 200 Connection established\r\n\r\n", certificate)
    with listening(serve) as address:
        monkeypatch.setenv("https_proxy", f"http://user:secret@{address}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        connections = Connections(service("https://service.test"), HEADERS)
        answer = connections.exchange("GET", "/x", None)
        connections.close()
    assert answer.body == b"ok"
    assert serve.asked.startswith(b"CONNECT service.test:443 HTTP/1.")
    assert b"Proxy-Authorization" in serve.asked.title()
    # The proxy sees nothing of what goes through the tunnel, and the service no proxy's password.
    assert b"x-api-key" not in serve.asked
    assert serve.request.startswith(b"GET /x HTTP/1.1\r\n")
    assert b"proxy-authorization" not in serve.request.lower()


def test_a_certificate_that_nobody_trusts_inside_a_tunnel(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    serve = Serve(b"HTTP/1.1 200 OK\r\n\r\n", certificate)
    with listening(serve) as address:
        monkeypatch.setenv("https_proxy", f"http://{address}")
        with pytest.raises(UntrustedError, match=r"self.signed"):
            Dialler(service("https://service.test")).open()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Login\r\n\r\n", b"garbage\r\n\r\n", b""])
def test_a_proxy_that_makes_no_tunnel_means_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, answer: bytes
) -> None:
    with listening(Serve(answer, certificate)) as address:
        monkeypatch.setenv("https_proxy", f"http://{address}")
        with pytest.raises(NotConnectedError):
            Dialler(service("https://service.test", connect_timeout=1.0)).open()


def test_a_broken_handshake_means_nothing_was_sent() -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(plain) as address, pytest.raises(NotConnectedError):
        Dialler(service(f"https://{address}")).open()
