"""Reads of one atlas over HTTP. What it holds can send nothing but GET and token requests."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from polly_core.catalog.paths import Paths, next_path
from polly_core.catalog.records import (
    dataset_record,
    decode,
    file_record,
    ingestion_record,
    version_record,
)
from polly_core.models.catalog import (
    CAN_EXPECT_VERSION,
    CAN_LIST_INGESTIONS,
    AtlasId,
    Capabilities,
    CatalogRef,
    DatasetId,
    DatasetPage,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    ObjectStat,
    RunId,
    StudyId,
    VersionId,
    VersionRecord,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import (
    DatasetAttributes,
    Document,
    FileAttributes,
    IngestionAttributes,
    ListDocument,
    Resource,
    StudyMembers,
    VersionAttributes,
    WireModel,
)
from polly_core.transport.credentials import CredentialCache, Form, Grant
from polly_core.transport.downloads import Downloads
from polly_core.transport.objects import MetadataObjects
from polly_core.transport.s3uri import parse_s3_uri
from polly_core.transport.session import ReadSession

AttributesT = TypeVar("AttributesT", bound=WireModel)


# A generic model is looked up at every use, which counts at a hundred thousand answers.
_DATASET = Document[DatasetAttributes]
_VERSIONS = ListDocument[VersionAttributes]


class HttpReader:
    """``Reader`` over HTTP and S3. Thread-safe."""

    def __init__(
        self,
        session: ReadSession,
        credentials: CredentialCache,
        objects: MetadataObjects,
        downloads: Downloads,
        atlas_id: AtlasId,
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._objects = objects
        self._downloads = downloads
        self._atlas_id = atlas_id
        self._form = Form(atlas_id)
        self._paths = Paths(atlas_id)
        self._first_grant: Grant | None = None

    @property
    def catalog(self) -> CatalogRef:
        return CatalogRef(
            api_url=self._session.service.api_url,
            atlas_id=self._atlas_id,
            instance_id=self.capabilities.instance_id,
        )

    @property
    def capabilities(self) -> Capabilities:
        if self._first_grant is None:
            self._first_grant = self._credentials.grant(self._form)
        return capabilities_of(self._first_grant)

    def page(self, link: str | None = None, *, size: int | None = None) -> DatasetPage:
        path = self._paths.datasets(page_size=size) if link is None else link
        document = decode(
            ListDocument[DatasetAttributes], self._session.get(path), what=f"listing {path}"
        )
        return DatasetPage(
            records=tuple(dataset_record(resource) for resource in document.data),
            next_link=next_path(document.links.next, after=path),
        )

    def datasets(self, *, page_size: int | None = None) -> Iterator[DatasetRecord]:
        page = self.page(size=page_size)
        yield from page.records
        while page.next_link is not None:
            page = self.page(page.next_link)
            yield from page.records

    def dataset(self, dataset_id: DatasetId) -> DatasetRecord:
        answer = self._session.get(self._paths.dataset(dataset_id))
        document = decode(_DATASET, answer, what=f"dataset {dataset_id}")
        return dataset_record(document.data)

    def metadata(self, record: DatasetRecord | VersionRecord) -> JsonObject:
        return self._objects.metadata(self._form, record.metadata_location)

    def versions(
        self, dataset_id: DatasetId, *, include_deleted: bool = False
    ) -> list[VersionRecord]:
        path = self._paths.versions(dataset_id, include_deleted=include_deleted)
        found = self._all(_VERSIONS, path)
        return [version_record(resource) for resource in found]

    def version(self, dataset_id: DatasetId, version_id: VersionId) -> VersionRecord:
        answer = self._session.get(self._paths.version(dataset_id, version_id))
        what = f"version {version_id} of {dataset_id}"
        return version_record(decode(Document[VersionAttributes], answer, what=what).data)

    def files(self, dataset_id: DatasetId) -> list[FileRecord]:
        found = self._all(ListDocument[FileAttributes], self._paths.files(dataset_id))
        return [file_record(resource) for resource in found]

    def study(self, study_id: StudyId) -> list[DatasetId]:
        answer = self._session.get(self._paths.study(study_id))
        members = decode(StudyMembers, answer, what=f"study {study_id}")
        return sorted(DatasetId(member.id) for member in members.relationships.datasets.data)

    def ingestions(
        self, run_id: RunId, dataset_id: DatasetId | None = None
    ) -> list[IngestionRecord]:
        if not self.capabilities.lists_ingestions:
            return []
        path = self._paths.ingestions(run_id, dataset_id)
        found = self._all(ListDocument[IngestionAttributes], path)
        return [ingestion_record(resource) for resource in found]

    def holds(self, location: str) -> bool:
        grant, uri = self._credentials.grant(self._form), parse_s3_uri(location)
        prefix = grant.prefix.rstrip("/")
        inside = uri.key.startswith(f"{prefix}/") if prefix else True
        return uri.bucket == grant.bucket and inside

    def stat(self, location: str) -> ObjectStat:
        return self._downloads.stat(self._form, location)

    def download(self, location: str, target: Path) -> None:
        self._downloads.download(self._form, location, target)

    def _all(
        self, model: type[ListDocument[AttributesT]], path: str
    ) -> list[Resource[AttributesT]]:
        """Every resource of a listing, whether the service pages it or not."""
        found: list[Resource[AttributesT]] = []
        link: str | None = path
        while link is not None:
            document = decode(model, self._session.get(link), what=f"listing {link}")
            found.extend(document.data)
            link = next_path(document.links.next, after=link)
        return found


def capabilities_of(grant: Grant) -> Capabilities:
    """What a session token says that the service can do."""
    return Capabilities(
        instance_id=grant.instance_id,
        expects_version=CAN_EXPECT_VERSION in grant.capabilities,
        lists_ingestions=CAN_LIST_INGESTIONS in grant.capabilities,
    )
