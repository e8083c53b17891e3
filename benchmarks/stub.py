"""The hosted catalog as far as a bulk update sees it: in memory, every answer after a delay.

It names no capabilities, so a client can neither send preconditions nor read ingestions. Metadata
objects are in a real S3 server, those of the expected next version too: storing them costs the
measured machine nothing while a contestant runs, yet whatever was written can be read at once.
Metadata that is not what the contest expects is stored before the answer, and counted.

Run as ``python -m benchmarks.stub CONFIG``; it prints its URL when ready and ends on SIGTERM.
"""

import asyncio
import gzip
import json
import signal
import socket
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

import httptools
import obstore
import uvloop
from obstore.store import S3Store

from polly_core.models.jsonvalue import JsonObject, Model, digest
from polly_core.models.wire import CONTENT_TYPE, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, S3Tokens

CONTROL = "/-/"
ATLAS = "9"
PREFIX = f"/repositories/{ATLAS}/datasets"


class ObjectAccess(Model):
    """Where the metadata objects are, and the service's own credentials."""

    endpoint_url: str
    region: str
    bucket: str
    access_key: str
    secret_key: str

    def store(self) -> S3Store:
        """A client for the bucket."""
        return S3Store(
            self.bucket,
            endpoint=self.endpoint_url,
            region=self.region,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )


class StubConfig(Model):
    """What the stub is started with."""

    index: Path
    """JSON lines: metadata URI now, metadata URI after the contest's change, its digest."""
    count: int
    """Datasets to serve; beyond the end of the index its objects are used again."""
    delay_ms: float
    objects: ObjectAccess
    tokens: S3Tokens
    """Temporary credentials of the atlas; every session-tokens answer has them."""


class Version(NamedTuple):
    """One version of a dataset."""

    version_id: str
    metadata_location: str
    created_at: int


class Entry:
    """One dataset."""

    __slots__ = ("expected", "history", "next_location")

    def __init__(self, first: Version, next_location: str, expected: str) -> None:
        self.history = [first]
        self.next_location = next_location
        self.expected = expected


class Answer(NamedTuple):
    """What goes back, and whether the delay applies."""

    status: int
    body: bytes
    delayed: bool = True


class Stub:
    """The catalog's state, its routes and what was asked of it."""

    def __init__(self, config: StubConfig) -> None:
        self.config = config
        self._store = config.objects.store()
        self._rows = [json.loads(line) for line in config.index.read_text().splitlines()]
        self.reset(config.count)

    def reset(self, count: int) -> None:
        """Every dataset back to its first version, and the counters to nothing."""
        self.ids: list[str] = []
        self.entries: dict[str, Entry] = {}
        now = _now_ms()
        for number in range(count):
            before, after, expected = self._rows[number % len(self._rows)]
            dataset_id = f"GSE{number:07d}"
            self.ids.append(dataset_id)
            self.entries[dataset_id] = Entry(Version(_new_id(), before, now), after, expected)
        self.clear_counters()

    def clear_counters(self) -> None:
        """Forget what was asked so far."""
        self.calls: Counter[str] = Counter()
        self.first_call: float | None = None
        self.last_call: float | None = None
        self.unexpected = 0
        self.in_flight = 0
        self.peak_in_flight = 0

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Route one request; anything but the contest's calls is 404."""
        path, query = _split(target)
        if path.startswith(CONTROL):
            return self._control(path, query)
        now = time.time()
        self.first_call = self.first_call or now
        self.last_call = now
        if path == "/session-tokens":
            return self._tokens()
        if path == PREFIX and method == "GET":
            return self._page(query)
        return self._dataset(method, path, body)

    def _dataset(self, method: str, path: str, body: bytes) -> Answer:
        dataset_id, _, rest = path.removeprefix(PREFIX + "/").partition("/")
        entry = self.entries.get(dataset_id)
        match (method, rest):
            case ("PATCH", "") if entry:
                return self._patch(dataset_id, entry, json.loads(body))
            case ("GET", "versions") if entry:
                return self._versions(dataset_id, entry)
            case ("GET", "") if entry:
                self.calls["get"] += 1
                return _document({"data": self._resource(dataset_id, entry)})
        self.calls["not found"] += 1
        return _error(404, "Resource not found", f"no {method} at {path}")

    def _control(self, path: str, query: dict[str, str]) -> Answer:
        if path == CONTROL + "reset":
            self.reset(int(query.get("count", self.config.count)))
        elif path == CONTROL + "clear":
            self.clear_counters()
        elif path != CONTROL + "stats":
            return _error(404, "Resource not found", path)
        stats = {
            "calls": dict(self.calls),
            "first_call": self.first_call,
            "last_call": self.last_call,
            "peak_in_flight": self.peak_in_flight,
            "unexpected": self.unexpected,
            "versions": sum(len(entry.history) for entry in self.entries.values()),
            "cpu": time.process_time(),
        }
        return Answer(200, json.dumps(stats).encode(), delayed=False)

    def _tokens(self) -> Answer:
        self.calls["session-tokens"] += 1
        attributes = {
            "bucket_name": self.config.objects.bucket,
            "prefix": ATLAS,
            "access_level": "write",
            "tokens": self.config.tokens.model_dump(),
        }
        data = {"type": "session-tokens", "id": ATLAS, "attributes": attributes}
        return _document({"data": data}, status=201)

    def _page(self, query: dict[str, str]) -> Answer:
        self.calls["list"] += 1
        size = min(int(query.get("page[size]", DEFAULT_PAGE_SIZE)), MAX_PAGE_SIZE)
        start = int(query.get("page[after]", "0"))
        ids = self.ids[start : start + size]
        end = start + len(ids)
        more = f"{PREFIX}?page[size]={size}&page[after]={end}" if end < len(self.ids) else None
        data = [self._resource(each, self.entries[each]) for each in ids]
        return _document({"data": data, "links": {"next": more}})

    def _patch(self, dataset_id: str, entry: Entry, document: JsonObject) -> Answer:
        self.calls["patch"] += 1
        attributes: Any = document["data"]
        metadata = attributes["attributes"]["metadata"]
        version_id = _new_id()
        location = entry.next_location
        if digest(metadata) != entry.expected:
            self.unexpected += 1
            location = self._store_metadata(dataset_id, version_id, metadata)
        entry.history.append(Version(version_id, location, _now_ms()))
        return _document({"data": self._resource(dataset_id, entry), "meta": {}})

    def _versions(self, dataset_id: str, entry: Entry) -> Answer:
        self.calls["versions"] += 1
        versions = [
            _version(dataset_id, version, "versions") for version in reversed(entry.history)
        ]
        return _document({"data": versions})

    def _resource(self, dataset_id: str, entry: Entry) -> JsonObject:
        return _version(dataset_id, entry.history[-1], "datasets")

    def _store_metadata(self, dataset_id: str, version_id: str, metadata: JsonObject) -> str:
        key = f"{ATLAS}/v2/{dataset_id}/.metadata/{version_id}.json.gz"
        return put_metadata(self._store, self.config.objects.bucket, key, metadata)


def put_metadata(store: S3Store, bucket: str, key: str, metadata: JsonObject) -> str:
    """Store a metadata object as the service does and give its versioned URI."""
    body = gzip.compress(json.dumps(metadata).encode(), 6, mtime=0)
    result = obstore.put(store, key, body, use_multipart=False)
    return f"s3://{bucket}/{key}?versionId={result['version']}"


class Connection(asyncio.Protocol):
    """One client connection. Answers leave in the order of the requests' delays."""

    def __init__(self, stub: Stub, delay: float) -> None:
        self._stub = stub
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.WriteTransport | None = None
        self._target = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        target, self._target = self._target.decode(), b""
        body, self._body = b"".join(self._body), []
        answer = self._stub.answer(method, target, body)
        if not answer.delayed:
            self._send(answer)
            return
        self._stub.in_flight += 1
        self._stub.peak_in_flight = max(self._stub.peak_in_flight, self._stub.in_flight)
        self._loop.call_later(self._delay, self._finish, answer)

    def _finish(self, answer: Answer) -> None:
        self._stub.in_flight -= 1
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        if self._transport is None:
            return
        head = (
            f"HTTP/1.1 {answer.status} -\r\ncontent-type: {CONTENT_TYPE}\r\n"
            f"content-length: {len(answer.body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + answer.body)


def _version(dataset_id: str, version: Version, kind: str) -> JsonObject:
    attributes: JsonObject = {
        "dataset_id": dataset_id,
        "omixatlas_id": ATLAS,
        "data_type": "Bulk RNAseq",
        "data_format": "gct",
        "version_id": version.version_id,
        "data_location": f"s3://objects/{ATLAS}/v2/{dataset_id}/{dataset_id}.gct?versionId=1",
        "metadata_location": version.metadata_location,
        "study_id": None,
        "last_modified_at": version.created_at,
        "created_at": version.created_at,
    }
    resource_id = dataset_id if kind == "datasets" else version.version_id
    return {"type": kind, "id": resource_id, "attributes": attributes}


def _split(target: str) -> tuple[str, dict[str, str]]:
    if "?" not in target:
        return target, {}
    parts = urlsplit(target)
    return parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}


def _document(document: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document, separators=(",", ":")).encode())


def _error(status: int, title: str, detail: str) -> Answer:
    error = {"status": str(status), "code": "bench", "title": title, "detail": detail}
    return _document({"errors": [error]}, status)


def _new_id() -> str:
    return str(uuid.uuid4())


def _now_ms() -> int:
    return int(time.time() * 1000)


async def serve(config: StubConfig) -> None:
    """Serve on a free loopback port until SIGTERM; the URL is the only line printed."""
    stub = Stub(config)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.cancel)
    server = await loop.create_server(
        lambda: Connection(stub, config.delay_ms / 1000), "127.0.0.1", 0, backlog=1024
    )
    port = next(s.getsockname()[1] for s in server.sockets if s.family == socket.AF_INET)
    print(f"http://127.0.0.1:{port}", flush=True)
    try:
        await ended
    except asyncio.CancelledError:
        server.close()


def main() -> None:
    """Entry point of the stub's process."""
    config = StubConfig.model_validate_json(Path(sys.argv[1]).read_text())
    uvloop.run(serve(config))


if __name__ == "__main__":
    main()
