"""The application: one function, no global state."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from polly_core.errors import CatalogError, StorageUnavailable
from polly_core.server.answers import answer
from polly_core.server.attachments import FileService
from polly_core.server.auth import AccessControl
from polly_core.server.config import ServerSettings
from polly_core.server.house import House
from polly_core.server.middleware import Authentication, Boundary, Faulty, refusal
from polly_core.server.ports import Blobs, TokenIssuer
from polly_core.server.refusals import error_document, not_found, unavailable
from polly_core.server.rehearsal import Rehearsal
from polly_core.server.routes import add_routes
from polly_core.server.service import DatasetService, now_ms
from polly_core.server.session_tokens import TokenService
from polly_core.server.store import Store

_SMALLEST_COMPRESSED = 1024
_FAST = 1
_WORKERS = 32


def create_app(
    settings: ServerSettings | None = None,
    *,
    store: Store,
    blobs: Blobs,
    issuer: TokenIssuer,
    access: AccessControl | None = None,
    rehearsal: Rehearsal | None = None,
    clock: Callable[[], int] = now_ms,
) -> FastAPI:
    """The catalog API over an open store, which stays the caller's to close.

    ``rehearsal`` may be turned while the application serves. Run it in uvicorn with
    ``http=CuttableProtocol`` so that answers can be lost.
    """
    house = _furnish(
        settings or ServerSettings(),
        store=store,
        blobs=blobs,
        issuer=issuer,
        access=access or AccessControl(store, now_ms=clock),
        rehearsal=rehearsal or Rehearsal(),
        clock=clock,
    )
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Boundary, root_path=house.settings.root_path),
            Middleware(GZipMiddleware, minimum_size=_SMALLEST_COMPRESSED, compresslevel=_FAST),
            Middleware(Authentication, access=house.access),
            Middleware(Faulty, rehearsal=house.rehearsal),
        ],
        exception_handlers={
            CatalogError: _refused,
            HTTPException: _unrouted,
            StorageUnavailable: _no_storage,
        },
    )
    app.state.house = house
    add_routes(app)
    return app


def _furnish(
    settings: ServerSettings,
    *,
    store: Store,
    blobs: Blobs,
    issuer: TokenIssuer,
    access: AccessControl,
    rehearsal: Rehearsal,
    clock: Callable[[], int],
) -> House:
    def capabilities() -> tuple[str, ...]:
        return rehearsal.faults.capabilities

    return House(
        settings=settings,
        access=access,
        datasets=DatasetService(store, blobs, capabilities=capabilities, clock=clock),
        files=FileService(store, blobs, clock=clock),
        tokens=TokenService(
            issuer, access, instance_id=store.instance_id, capabilities=capabilities
        ),
        rehearsal=rehearsal,
        workers=ThreadPoolExecutor(_WORKERS, thread_name_prefix="atlas"),
    )


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, CatalogError)
    return refusal(error)


async def _no_storage(_: Request, __: Exception) -> Response:
    # Objects are touched before the row is: nothing happened, and the client may try again.
    return refusal(unavailable("The object store cannot be reached; try again"))


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return refusal(not_found(f"There is nothing at {request.url.path}"))
    detail = f"{request.method} is not possible at {request.url.path}"
    document = error_document(error.status_code, error.detail, detail)
    response = answer(document, error.status_code)
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    # The framework names the methods of the first route at a path only.
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    there = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in there for method in route.methods or ()})
