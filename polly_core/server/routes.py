"""The fifteen routes (wire.md §4): each reads a request, calls one rule, says the answer."""

from fastapi import FastAPI
from starlette.responses import Response

from polly_core.models.catalog import CAN_LIST_INGESTIONS, DatasetId, StudyId, VersionId
from polly_core.models.jsonvalue import JsonObject
from polly_core.server import answers
from polly_core.server.answers import many, next_link, one, parse_page
from polly_core.server.calls import Call, served
from polly_core.server.documents import (
    check_id,
    parse_attach,
    parse_create,
    parse_delete,
    parse_flag,
    parse_token_request,
    parse_update,
)
from polly_core.server.refusals import bad_request, not_found
from polly_core.server.service import Written
from polly_core.server.store_catalog import IngestionFilter

ATLAS = "/repositories/{atlas_id}"
DATASET = ATLAS + "/datasets/{dataset_id}"
FILES = DATASET + "/supplementary_files"


def add_routes(app: FastAPI) -> None:
    """Every route of the protocol."""
    for method, path, rule in (
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
        app.add_route(path, served(rule, method), methods=[method])


def issue_tokens(call: Call) -> Response:
    wanted = parse_token_request(call.body)
    attributes = call.house.tokens.issue(call.principal, wanted)
    return one(answers.session_token_resource(wanted.source, attributes), status=201)


def list_datasets(call: Call) -> Response:
    wanted = parse_page(call.query)
    page = call.house.datasets.page(call.atlas, after=wanted.after or "", size=wanted.size)
    link = next_link(f"/repositories/{call.atlas}/datasets", wanted.size, page.after, {})
    resources = (answers.dataset_resource(call.atlas, record) for record in page.records)
    return many(resources, next_link=link)


def create_dataset(call: Call) -> Response:
    written = call.house.datasets.create(call.atlas, parse_create(call.body))
    return _written(call, written, status=201)


def get_dataset(call: Call) -> Response:
    record = call.house.datasets.dataset(call.atlas, call.dataset)
    return one(answers.dataset_resource(call.atlas, record))


def update_dataset(call: Call) -> Response:
    request = parse_update(call.body, call.dataset)
    return _written(call, call.house.datasets.update(call.atlas, call.dataset, request))


def delete_dataset(call: Call) -> Response:
    request = parse_delete(call.query.get("params"))
    call.house.datasets.delete(call.atlas, call.dataset, request)
    return answers.empty()


def list_versions(call: Call) -> Response:
    deleted = parse_flag(call.query.get("include_deleted"), "include_deleted")
    found = call.house.datasets.versions(call.atlas, call.dataset, include_deleted=deleted)
    return many(answers.version_resource(call.atlas, record) for record in found)


def get_version(call: Call) -> Response:
    version = VersionId(call.path["version_id"])
    record = call.house.datasets.version(call.atlas, call.dataset, version)
    return one(answers.version_resource(call.atlas, record))


def attach_file(call: Call) -> Response:
    attached = call.house.files.attach(call.atlas, call.dataset, parse_attach(call.body))
    resource = answers.file_resource(call.atlas, attached.record)
    return one(resource, status=200 if attached.replaced else 201, warnings=attached.warnings)


def list_files(call: Call) -> Response:
    found = call.house.files.files(call.atlas, call.dataset)
    return many(answers.file_resource(call.atlas, record) for record in found)


def get_file(call: Call) -> Response:
    record = call.house.files.file(call.atlas, call.dataset, call.path["file_name"])
    return one(answers.file_resource(call.atlas, record))


def delete_file(call: Call) -> Response:
    call.house.files.detach(call.atlas, call.dataset, call.path["file_name"])
    return answers.empty()


def list_studies(call: Call) -> Response:
    return answers.studies_answer(call.house.datasets.studies(call.atlas))


def get_study(call: Call) -> Response:
    study = StudyId(check_id(call.path["study_id"], "study id"))
    return answers.study_answer(study, call.house.datasets.study(call.atlas, study))


def list_ingestions(call: Call) -> Response:
    if CAN_LIST_INGESTIONS not in call.house.capabilities():
        raise not_found("This server does not record ingestions")
    wanted = parse_page(call.query)
    if wanted.after is not None and not wanted.after.isdigit():
        raise bad_request("page[after]: not a cursor of this listing; follow links.next")
    only, kept = _ingestion_filter(call)
    page = call.house.datasets.ingestions(
        call.atlas, only, after=int(wanted.after or 0), size=wanted.size
    )
    link = next_link(f"/repositories/{call.atlas}/ingestions", wanted.size, page.after, kept)
    return many(map(answers.ingestion_resource, page.records), next_link=link)


def _ingestion_filter(call: Call) -> tuple[IngestionFilter, JsonObject]:
    run, dataset = call.query.get("run_id"), call.query.get("dataset_id")
    kept: JsonObject = {}
    if run is not None:
        kept["run_id"] = run
    if dataset is not None:
        kept["dataset_id"] = check_id(dataset, "dataset_id")
    return IngestionFilter(run, None if dataset is None else DatasetId(dataset)), kept


def _written(call: Call, written: Written, *, status: int = 200) -> Response:
    return one(
        answers.dataset_resource(call.atlas, written.record),
        status=status,
        warnings=written.warnings,
        ingestion=written.ingestion,
    )
