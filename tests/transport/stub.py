"""A service of one test: it answers as scripted, and remembers what it was asked."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import SecretStr

from polly_core.transport.retry import OnRetry, Retrier, RetryPolicy, ignore_retry
from polly_core.transport.service import Service

KEY = "stub-key-0123456789"


@dataclass(frozen=True)
class Reply:
    """One answer. ``cut`` promises that many more bytes than it sends."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    close: bool = False
    """Close the connection instead of answering."""
    drop: bool = False
    """Close the connection after the answer, without having said so."""
    delay: float = 0.0
    packed: bool = False


LOST = Reply(close=True)


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: int = 0
    """The port it came from: one for each connection."""


Answerer = Callable[[Asked], Reply]


class Stub:
    """Replies are used up in order; ``answer`` is asked when there are none left."""

    def __init__(self, *replies: Reply, answer: Answerer | None = None) -> None:
        self.asked: list[Asked] = []
        self.replies = list(replies)
        self.answer = answer
        self.url = ""
        self._lock = threading.Lock()

    def reply_to(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            if self.replies:
                return self.replies.pop(0)
        if self.answer is None:
            return Reply(500, {"message": f"nothing scripted for {asked.method} {asked.path}"})
        return self.answer(asked)

    def paths(self, method: str | None = None) -> list[str]:
        """What was asked for."""
        return [a.path for a in self.asked if method in {None, a.method}]


@contextmanager
def serving(*replies: Reply, answer: Answerer | None = None) -> Iterator[Stub]:
    """A stub on a free port."""
    stub = Stub(*replies, answer=answer)
    server = _Server(("127.0.0.1", 0), _handler(stub))
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is what these tests are about."""


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            reply = stub.reply_to(
                Asked(self.command, self.path, headers, body, self.client_address[1])
            )
            if reply.delay:
                time.sleep(reply.delay)
            self.close_connection = reply.close or reply.drop or bool(reply.cut)
            if reply.close:
                return
            data = _bytes(reply)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) + reply.cut))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = do_HEAD = do_PUT = _serve  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


def _bytes(reply: Reply) -> bytes:
    if reply.body is None:
        return b""
    if isinstance(reply.body, bytes):
        return reply.body
    data = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
    return gzip.compress(data.encode()) if reply.packed else data.encode()


def error(status: int, title: str = "Bad", detail: str = "detail", **headers: str) -> Reply:
    """An error document; header names are given with underscores."""
    body = {"errors": [{"status": str(status), "code": "x", "title": title, "detail": detail}]}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def dataset(dataset_id: str = "GSE1", **changed: object) -> dict[str, object]:
    """A dataset resource."""
    attributes: dict[str, object] = {
        "dataset_id": dataset_id,
        "omixatlas_id": "9",
        "data_type": "Bulk RNAseq",
        "data_format": "gct",
        "version_id": "11111111-1111-4111-8111-111111111111",
        "data_location": f"s3://bucket/9/v2/{dataset_id}/{dataset_id}.gct?versionId=d1",
        "metadata_location": f"s3://bucket/9/v2/{dataset_id}/.metadata/1.json.gz?versionId=m1",
        "study_id": None,
        "last_modified_at": 1_700_000_000_000,
        "created_at": 1_700_000_000_000,
        **changed,
    }
    return {"type": "datasets", "id": dataset_id, "attributes": attributes}


def tokens(endpoint_url: str | None = None, **changed: object) -> dict[str, object]:
    """A session token document, good for a long time."""
    attributes: dict[str, object] = {
        "bucket_name": "bucket",
        "prefix": "9",
        "access_level": "write",
        "tokens": {
            "AccessKeyId": "ASIASTUB",
            "SecretAccessKey": "very-secret",
            "SessionToken": "session-token",
            "Expiration": "2099-01-01T00:00:00Z",
        },
        "endpoint_url": endpoint_url,
        "region": "us-east-1",
        **changed,
    }
    return {"data": {"type": "session-tokens", "id": "9", "attributes": attributes}}


def service(url: str, **changed: object) -> Service:
    """A service with short time-outs."""
    settings: dict[str, object] = {"connect_timeout": 2.0, "read_timeout": 2.0, "pool_size": 8}
    return Service(url, SecretStr(KEY), **{**settings, **changed})  # type: ignore[arg-type]


@dataclass
class Waits:
    """Takes the place of sleeping: remembers how long, and moves a clock."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def clock(self) -> float:
        return sum(self.slept)


def retrier(waits: Waits, on_retry: OnRetry = ignore_retry, *, retries: int = 5) -> Retrier:
    """Retries without waiting, and without chance."""
    return Retrier(RetryPolicy(retries=retries), waits.sleep, waits.clock, lambda: 1.0, on_retry)
