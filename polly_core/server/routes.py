"""The fifteen routes (wire.md §4): each reads a request, calls one rule, says the answer."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from polly_core.models.catalog import (
    CAN_LIST_INGESTIONS,
    AtlasId,
    DatasetId,
    StudyId,
    VersionId,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.server import answers
from polly_core.server.answers import many, next_link, one, parse_page
from polly_core.server.documents import (
    check_id,
    parse_attach,
    parse_create,
    parse_delete,
    parse_flag,
    parse_token_request,
    parse_update,
)
from polly_core.server.house import House
from polly_core.server.refusals import bad_request, not_found, too_large
from polly_core.server.service import Written
from polly_core.server.store_catalog import IngestionFilter


async def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


InHouse = Annotated[House, Depends(_house)]


async def _readable(request: Request, house: InHouse, atlas_id: str) -> AtlasId:
    return house.access.authorize(request.state.principal, atlas_id, write=False)


async def _writable(request: Request, house: InHouse, atlas_id: str) -> AtlasId:
    atlas = house.access.authorize(request.state.principal, atlas_id, write=True)
    house.refuse_locked(atlas)
    return atlas


async def _dataset_id(dataset_id: str) -> DatasetId:
    return DatasetId(check_id(dataset_id, "dataset id"))


async def _body(request: Request, house: InHouse) -> bytes:
    limit = house.settings.body_limit
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


# Dependencies are resolved in this order: access comes before ids, ids before the body.
Readable = Annotated[AtlasId, Depends(_readable)]
Writable = Annotated[AtlasId, Depends(_writable)]
Dataset = Annotated[DatasetId, Depends(_dataset_id)]
Body = Annotated[bytes, Depends(_body)]

ATLAS = "/repositories/{atlas_id}"
DATASET = ATLAS + "/datasets/{dataset_id}"
FILES = DATASET + "/supplementary_files"


def build_router() -> APIRouter:
    """Every route of the protocol."""
    router = APIRouter(redirect_slashes=False)
    for method, path, endpoint in (
        ("POST", "/session-tokens", issue_tokens),
        ("GET", ATLAS + "/datasets", list_datasets),
        ("POST", ATLAS + "/datasets", create_dataset),
        ("GET", DATASET, get_dataset),
        ("PATCH", DATASET, update_dataset),
        ("DELETE", DATASET, delete_dataset),
        ("GET", DATASET + "/versions", list_versions),
        ("GET", DATASET + "/versions/{version_id}", get_version),
        ("POST", FILES, attach_file),
        ("GET", FILES, list_files),
        ("GET", FILES + "/{file_name}", get_file),
        ("DELETE", FILES + "/{file_name}", delete_file),
        ("GET", ATLAS + "/studies", list_studies),
        ("GET", ATLAS + "/studies/{study_id}", get_study),
        ("GET", ATLAS + "/ingestions", list_ingestions),
    ):
        router.add_api_route(path, endpoint, methods=[method], response_model=None)
    return router


def issue_tokens(request: Request, house: InHouse, body: Body) -> Response:
    wanted = parse_token_request(body)
    attributes = house.tokens.issue(request.state.principal, wanted)
    return one(answers.session_token_resource(wanted.source, attributes), status=201)


def list_datasets(request: Request, house: InHouse, atlas: Readable) -> Response:
    wanted = parse_page(request.query_params)
    page = house.datasets.page(atlas, after=wanted.after or "", size=wanted.size)
    link = next_link(f"/repositories/{atlas}/datasets", wanted.size, page.after, {})
    resources = (answers.dataset_resource(atlas, record) for record in page.records)
    return many(resources, next_link=link)


def create_dataset(house: InHouse, atlas: Writable, body: Body) -> Response:
    return _written(atlas, house.datasets.create(atlas, parse_create(body)), status=201)


def get_dataset(house: InHouse, atlas: Readable, dataset: Dataset) -> Response:
    return one(answers.dataset_resource(atlas, house.datasets.dataset(atlas, dataset)))


def update_dataset(house: InHouse, atlas: Writable, dataset: Dataset, body: Body) -> Response:
    request = parse_update(body, dataset)
    return _written(atlas, house.datasets.update(atlas, dataset, request))


def delete_dataset(request: Request, house: InHouse, atlas: Writable, dataset: Dataset) -> Response:
    house.datasets.delete(atlas, dataset, parse_delete(request.query_params.get("params")))
    return answers.empty()


def list_versions(request: Request, house: InHouse, atlas: Readable, dataset: Dataset) -> Response:
    deleted = parse_flag(request.query_params.get("include_deleted"), "include_deleted")
    found = house.datasets.versions(atlas, dataset, include_deleted=deleted)
    return many(answers.version_resource(atlas, record) for record in found)


def get_version(house: InHouse, atlas: Readable, dataset: Dataset, version_id: str) -> Response:
    record = house.datasets.version(atlas, dataset, VersionId(version_id))
    return one(answers.version_resource(atlas, record))


def attach_file(house: InHouse, atlas: Writable, dataset: Dataset, body: Body) -> Response:
    attached = house.files.attach(atlas, dataset, parse_attach(body))
    resource = answers.file_resource(atlas, attached.record)
    return one(resource, status=200 if attached.replaced else 201, warnings=attached.warnings)


def list_files(house: InHouse, atlas: Readable, dataset: Dataset) -> Response:
    found = house.files.files(atlas, dataset)
    return many(answers.file_resource(atlas, record) for record in found)


def get_file(house: InHouse, atlas: Readable, dataset: Dataset, file_name: str) -> Response:
    return one(answers.file_resource(atlas, house.files.file(atlas, dataset, file_name)))


def delete_file(house: InHouse, atlas: Writable, dataset: Dataset, file_name: str) -> Response:
    house.files.detach(atlas, dataset, file_name)
    return answers.empty()


def list_studies(house: InHouse, atlas: Readable) -> Response:
    return answers.studies_answer(house.datasets.studies(atlas))


def get_study(house: InHouse, atlas: Readable, study_id: str) -> Response:
    study = StudyId(check_id(study_id, "study id"))
    return answers.study_answer(study, house.datasets.study(atlas, study))


def list_ingestions(request: Request, house: InHouse, atlas: Readable) -> Response:
    if CAN_LIST_INGESTIONS not in house.capabilities():
        raise not_found("This server does not record ingestions")
    query = request.query_params
    wanted = parse_page(query)
    if wanted.after is not None and not wanted.after.isdigit():
        raise bad_request("page[after]: not a cursor of this listing; follow links.next")
    only, kept = _ingestion_filter(query.get("run_id"), query.get("dataset_id"))
    page = house.datasets.ingestions(atlas, only, after=int(wanted.after or 0), size=wanted.size)
    link = next_link(f"/repositories/{atlas}/ingestions", wanted.size, page.after, kept)
    return many(map(answers.ingestion_resource, page.records), next_link=link)


def _ingestion_filter(run: str | None, dataset: str | None) -> tuple[IngestionFilter, JsonObject]:
    kept: JsonObject = {}
    if run is not None:
        kept["run_id"] = run
    if dataset is not None:
        kept["dataset_id"] = check_id(dataset, "dataset_id")
    only = IngestionFilter(run, None if dataset is None else DatasetId(dataset))
    return only, kept


def _written(atlas: AtlasId, written: Written, *, status: int = 200) -> Response:
    return one(
        answers.dataset_resource(atlas, written.record),
        status=status,
        warnings=written.warnings,
        ingestion=written.ingestion,
    )
