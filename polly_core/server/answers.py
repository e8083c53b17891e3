"""What the server says: records as the documents of wire.md §2 and §3, and pages of them."""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from starlette.responses import Response

from polly_core.models.catalog import (
    AtlasId,
    DatasetId,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    StudyId,
    VersionRecord,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import (
    CONTENT_TYPE,
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    DatasetAttributes,
    Document,
    FileAttributes,
    IngestionAttributes,
    IngestionNote,
    Links,
    ListDocument,
    Meta,
    Resource,
    SessionTokenAttributes,
    VersionAttributes,
    WireModel,
)
from polly_core.server.refusals import bad_request

AttributesT = TypeVar("AttributesT", bound=WireModel)
_CURSOR = re.compile(r"[0-9A-Za-z_-]+")


class PageRequest(NamedTuple):
    """``page[size]`` and ``page[after]`` of a listing."""

    size: int
    after: str | None


def dataset_resource(atlas: AtlasId, record: DatasetRecord) -> Resource[DatasetAttributes]:
    """A dataset as it stands."""
    attributes = DatasetAttributes(omixatlas_id=atlas, **dict(record))
    return Resource(type="datasets", id=record.dataset_id, attributes=attributes)


def version_resource(atlas: AtlasId, record: VersionRecord) -> Resource[VersionAttributes]:
    """One version."""
    attributes = VersionAttributes(omixatlas_id=atlas, **dict(record))
    return Resource(type="versions", id=record.version_id, attributes=attributes)


def file_resource(atlas: AtlasId, record: FileRecord) -> Resource[FileAttributes]:
    """One supplementary file."""
    attributes = FileAttributes(omixatlas_id=atlas, **dict(record))
    return Resource(type="supplementary_files", id=record.file_name, attributes=attributes)


def ingestion_resource(record: IngestionRecord) -> Resource[IngestionAttributes]:
    """One recorded ingestion request."""
    values = dict(record)
    identifier = values.pop("ingestion_id")
    return Resource(type="ingestions", id=identifier, attributes=IngestionAttributes(**values))


def session_token_resource(
    atlas: AtlasId, attributes: SessionTokenAttributes
) -> Resource[SessionTokenAttributes]:
    """Issued credentials."""
    return Resource(type="session-tokens", id=atlas, attributes=attributes)


def one(
    resource: Resource[AttributesT],
    *,
    status: int = 200,
    warnings: tuple[str, ...] = (),
    ingestion: IngestionNote | None = None,
) -> Response:
    """An answer with one resource; ``meta`` only where there is something to say."""
    meta: dict[str, object] = {}
    if warnings:
        meta["warnings"] = warnings
    if ingestion is not None:
        meta["ingestion"] = ingestion
    if meta:
        return answer(Document(data=resource, meta=Meta.model_validate(meta)), status)
    return answer(Document(data=resource), status)


def many(resources: Iterable[Resource[AttributesT]], *, next_link: str | None = None) -> Response:
    """An answer with a list of resources. ``links`` is always an object."""
    return answer(ListDocument(data=tuple(resources), links=Links(next=next_link)))


def studies_answer(studies: Iterable[StudyId]) -> Response:
    """The list of studies; they have no attributes."""
    data = [{"type": "studies", "id": study, "attributes": {}} for study in studies]
    return rendered({"data": data, "links": {"next": None}})


def study_answer(study: StudyId, members: Iterable[DatasetId]) -> Response:
    """A study: the official client reads its members at the top level."""
    related = {"datasets": {"data": [{"type": "datasets", "id": member} for member in members]}}
    data = {"type": "studies", "id": study, "attributes": {}, "relationships": related}
    return rendered({"data": data, "relationships": related})


def answer(document: WireModel, status: int = 200) -> Response:
    """A document; members that were not set are left out."""
    return rendered(document.model_dump(exclude_unset=True), status)


def rendered(content: Mapping[str, object], status: int = 200) -> Response:
    """JSON of the protocol's media type."""
    text = json.dumps(content, separators=(",", ":"))
    return Response(text, status_code=status, media_type=CONTENT_TYPE)


def empty() -> Response:
    """204."""
    return Response(status_code=204)


def parse_page(query: Mapping[str, str]) -> PageRequest:
    """The page that a query asks for; larger sizes than allowed are clamped.

    Raises:
        BadRequest: a size that is no number, or a cursor that no listing gave.
    """
    text = query.get("page[size]", str(DEFAULT_PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) <= 100):
        raise bad_request(f"page[size]: expected a number from 0, found {text[:100]!r}")
    cursor = query.get("page[after]")
    after = None if cursor is None else _decoded(cursor)
    return PageRequest(min(int(text), MAX_PAGE_SIZE), after)


def next_link(path: str, size: int, after: str | int | None, query: JsonObject) -> str | None:
    """The link to the page after this one, relative to the base URL; None after the last."""
    if after is None:
        return None
    cursor = base64.urlsafe_b64encode(str(after).encode()).decode().rstrip("=")
    kept = "".join(f"{name}={quote(str(value), safe='')}&" for name, value in query.items())
    return f"{path}?{kept}page[size]={size}&page[after]={cursor}"


def _decoded(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not _CURSOR.fullmatch(text):
        raise bad_request(
            "page[after]: not a cursor of this listing; follow links.next as it was given"
        )
    return text
