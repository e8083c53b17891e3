"""One request, made ready for a rule: access first, then ids, then the body."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from polly_core.models.catalog import AtlasId, DatasetId
from polly_core.server.auth import Principal
from polly_core.server.documents import check_id
from polly_core.server.house import House
from polly_core.server.refusals import too_large


@dataclass(frozen=True, slots=True)
class Call:
    """What a route is given. Atlas and dataset are empty where the path names none."""

    house: House
    principal: Principal
    atlas: AtlasId
    dataset: DatasetId
    path: dict[str, str]
    query: QueryParams
    body: bytes


Rule = Callable[[Call], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def served(rule: Rule, method: str) -> Endpoint:
    """The endpoint of a rule, which runs in one of the workers.

    It refuses, in this order: an atlas that the key has no access to, or may not write where the
    method writes; a dataset id that is none; a body above the limit.
    """

    async def endpoint(request: Request) -> Response:
        house: House = request.app.state.house
        principal: Principal = request.state.principal
        path = request.path_params
        atlas, dataset = AtlasId(path.get("atlas_id", "")), DatasetId("")
        if atlas:
            house.authorize(principal, atlas, write=method != "GET")
        if "dataset_id" in path:
            dataset = DatasetId(check_id(path["dataset_id"], "dataset id"))
        body = await _body(request, house.settings.body_limit) if method != "GET" else b""
        call = Call(house, principal, atlas, dataset, path, request.query_params, body)
        return await asyncio.get_running_loop().run_in_executor(house.workers, rule, call)

    return endpoint


async def _body(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)
