"""What surrounds every request: the boundary for errors, the key, and rehearsed faults."""

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polly_core.errors import CatalogError
from polly_core.models.wire import API_KEY_HEADER
from polly_core.server.answers import answer, rendered
from polly_core.server.auth import AccessControl, Principal
from polly_core.server.connection import cutter
from polly_core.server.refusals import (
    RETRY_AFTER_SECONDS,
    document_of,
    error_document,
    not_found,
)
from polly_core.server.rehearsal import Fate, Rehearsal

CORRELATION_HEADER = "x-correlation-id"
_WRITING = ("POST", "PATCH", "DELETE")
_QUOTED_SLASH = re.compile(rb"%(2f|5c)", re.IGNORECASE)
_KEY_HEADER = API_KEY_HEADER.encode()
_LOGGER = logging.getLogger(__name__)


class Boundary:
    """Turns what nobody expected into a 500 that says nothing but where to look in the log.

    Being outermost it also says which part of the path is not the routes' to read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        root_path: str = "",
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._app = app
        self._root_path = root_path
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["root_path"] = scope.get("root_path") or self._root_path
        correlation = self._new_id()
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[CORRELATION_HEADER] = correlation
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except ClientDisconnect:
            _LOGGER.debug("The client went away; correlation id %s", correlation)
        except Exception:
            _LOGGER.exception(
                "%s %s failed; correlation id %s", scope["method"], scope["path"], correlation
            )
            if started:
                raise
            detail = f"The server failed; its log has the cause under {correlation}"
            response = answer(error_document(500, "Internal error", detail), 500)
            await response(scope, receive, send_named)


class Authentication:
    """Lets nobody in without a valid key; ``request.state.principal`` is its holder."""

    def __init__(self, app: ASGIApp, *, access: AccessControl) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            principal = await self._principal(scope)
            if principal is None:
                # No error document: only without one the official client says what is wrong.
                await rendered({"message": "Unauthorized"}, 401)(scope, receive, send)
                return
            scope.setdefault("state", {})["principal"] = principal
            if _QUOTED_SLASH.search(scope.get("raw_path") or b""):
                # Unquoted, it would lead to another route than the one the caller named.
                nowhere = not_found(f"There is nothing at {scope['path']}")
                await refusal(nowhere)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal | None:
        shown = [value for name, value in scope["headers"] if name == _KEY_HEADER]
        if len(shown) != 1:
            return None
        token = shown[0].decode("latin-1")
        remembered = self._access.remembered(token)
        return remembered or await run_in_threadpool(self._access.authenticate, token)


class Faulty:
    """Does to requests what the rehearsal says."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        rehearsal: Rehearsal,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._app = app
        self._rehearsal = rehearsal
        self._sleep = sleep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if delay := self._rehearsal.faults.delay_ms:
            await self._sleep(delay / 1000)
        fate = self._rehearsal.fate()
        if fate is not Fate.SERVE:
            await _refusal(fate)(scope, receive, send)
        elif scope["method"] in _WRITING and self._rehearsal.drops_answer():
            await self._app(scope, receive, _unheard)
            await _cut(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def refusal(error: CatalogError) -> Response:
    """The answer that a refusal becomes."""
    response = answer(document_of(error), error.status or 500)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(round(error.retry_after))
    return response


def _refusal(fate: Fate) -> Response:
    if fate is Fate.FAIL:
        return answer(error_document(500, "Internal error", "Rehearsed failure"), 500)
    response = answer(error_document(429, "Too many requests", "Wait before the next one"), 429)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


async def _unheard(_: Message) -> None:
    """Where an answer goes that is to be lost."""


async def _cut(scope: Scope, receive: Receive, send: Send) -> None:
    cut = cutter(scope)
    if cut is None:
        # This process cannot cut connections; to a client a bare 500 says as little.
        await answer(error_document(500, "Internal error", "Rehearsed loss"), 500)(
            scope, receive, send
        )
        return
    cut()
    while (await receive())["type"] != "http.disconnect":
        pass
