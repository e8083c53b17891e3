"""Calls an application without a socket, as a client would see it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from polly_core.server.connection import CUT


class ConnectionCut(Exception):
    """The server closed the connection without an answer."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def title(self) -> str:
        return str(self.document["errors"][0]["title"])

    @property
    def detail(self) -> str:
        return str(self.document["errors"][0]["detail"])


@dataclass
class Caller:
    """Sends requests with one key; ``root`` is what the process cuts off the path."""

    app: ASGIApp
    key: str | None
    can_cut: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, target: str) -> Answer:
        return self.call("GET", target)

    def post(self, target: str, body: object) -> Answer:
        return self.call("POST", target, body)

    def patch(self, target: str, body: object) -> Answer:
        return self.call("PATCH", target, body)

    def delete(self, target: str) -> Answer:
        return self.call("DELETE", target)

    def call(self, method: str, target: str, body: object = None) -> Answer:
        """One request; bytes go as they are, anything else as JSON."""
        return asyncio.run(self.send(method, target, body))

    def together(self, calls: Iterable[tuple[str, str, object]]) -> list[Answer]:
        """Several requests at the same time."""

        async def gather() -> list[Answer]:
            return await asyncio.gather(*(self.send(*call) for call in calls))

        return asyncio.run(gather())

    async def send(self, method: str, target: str, body: object = None) -> Answer:
        content = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        return await self.stream(method, target, _pieces(content), length=len(content))

    async def stream(
        self, method: str, target: str, pieces: AsyncIterator[bytes], *, length: int | None
    ) -> Answer:
        """One request whose body arrives in pieces; without ``length`` it is chunked."""
        exchange = _Exchange(pieces)
        scope = self._scope(method, target, length, exchange)
        await self.app(scope, exchange.receive, exchange.send)
        return exchange.answer()

    def _scope(
        self, method: str, target: str, length: int | None, exchange: "_Exchange"
    ) -> dict[str, Any]:
        path, _, query = target.partition("?")
        headers = {"content-type": "application/vnd.api+json", **self.headers}
        if self.key is not None:
            headers["x-api-key"] = self.key
        if length is not None:
            headers["content-length"] = str(length)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "server": ("testserver", 80),
            "client": ("testclient", 1),
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(n.lower().encode(), v.encode()) for n, v in headers.items()],
            "state": {},
        }
        if self.can_cut:
            scope["extensions"] = {CUT: {"cut": exchange.cut}}
        return scope


class _Exchange:
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._ended = False
        self._cut = False
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    async def receive(self) -> Message:
        if self._cut:
            return {"type": "http.disconnect"}
        if self._ended:
            await asyncio.Event().wait()
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            pairs = message["headers"]
            self._headers = {name.decode().lower(): value.decode() for name, value in pairs}
        else:
            self._body += message.get("body", b"")

    def cut(self) -> None:
        self._cut = True

    def answer(self) -> Answer:
        if self._status is None:
            raise ConnectionCut
        return Answer(self._status, self._headers, bytes(self._body))


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _json(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
