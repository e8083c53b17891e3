"""A catalog in memory: every port of it, with faults to order.

The contract suite proves it against a real service. Ids and times are counters: two runs of one
program see the same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from polly_core.catalog.data import existing_file
from polly_core.catalog.ports import ObjectKey, Reader, Store, Writer
from polly_core.errors import InvalidInput, NotFound, StorageDenied
from polly_core.models.catalog import (
    AtlasId,
    Capabilities,
    CatalogRef,
    DatasetChange,
    DatasetId,
    DatasetPage,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    NewDataset,
    NewFile,
    ObjectStat,
    RunId,
    StudyId,
    VersionId,
    VersionRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from polly_core.testing.faults import ChooseFault, WriteCall, WriteKind, no_faults
from polly_core.testing.memory import MemoryAtlas, as_json
from polly_core.testing.objects import BUCKET, MemoryObjects
from polly_core.testing.scripted import Scripted
from polly_core.transport.s3uri import parse_s3_uri

INSTANCE_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(slots=True)
class _Service:
    """What the atlases of one service share."""

    objects: MemoryObjects = field(default_factory=MemoryObjects)
    atlases: "dict[str, FakeCatalog]" = field(default_factory=dict)


class FakeCatalog(Scripted):
    """One atlas in memory: ``Reader``, ``Writer`` and ``Store``, and itself the ``Ports`` to them.

    Thread-safe. ``enforce_versions=False`` is a service without preconditions and without
    ingestion records, as the hosted one is. ``choose_fault`` decides for each write what goes
    wrong with it. ``another`` makes further atlases of the same service.
    """

    def __init__(
        self,
        atlas_id: str = "9",
        *,
        enforce_versions: bool = True,
        choose_fault: ChooseFault = no_faults,
        service: _Service | None = None,
    ) -> None:
        self._service = service or _Service()
        atlas = MemoryAtlas(
            atlas_id,
            enforce_versions=enforce_versions,
            objects=self._service.objects,
            number=len(self._service.atlases),
        )
        super().__init__(atlas_id, atlas, choose_fault)
        self._service.atlases[atlas_id] = self

    def another(self, atlas_id: str) -> "FakeCatalog":
        """Another atlas of the same service, with the same object store; made where it is new."""
        found = self._service.atlases.get(atlas_id)
        own = self._atlas.enforce_versions
        return found or FakeCatalog(atlas_id, enforce_versions=own, service=self._service)

    @property
    def reader(self) -> Reader:
        return self

    @property
    def writer(self) -> Writer:
        return self

    @property
    def store(self) -> Store:
        return self

    def beside(self, atlas_id: AtlasId) -> Reader:
        return self._beside(atlas_id)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def catalog(self) -> CatalogRef:
        return CatalogRef(
            api_url="http://fake.invalid",
            atlas_id=self._atlas_id,
            instance_id=self.capabilities.instance_id,
        )

    @property
    def capabilities(self) -> Capabilities:
        own = self._atlas.enforce_versions
        return Capabilities(
            instance_id=INSTANCE_ID if own else None, expects_version=own, lists_ingestions=own
        )

    def page(self, link: str | None = None, *, size: int | None = None) -> DatasetPage:
        if size is not None and size < 1:
            raise InvalidInput(f"expected a page size of at least 1, found {size}")
        after, wanted = "", size or DEFAULT_PAGE_SIZE
        if link is not None:
            fields = parse_qs(urlsplit(link).query)
            after, wanted = fields["page[after]"][0], int(fields["page[size]"][0])
        wanted = min(wanted, MAX_PAGE_SIZE)
        with self._reading(None):
            left = [record for record in self._atlas.living() if record.dataset_id > after]
        records = tuple(left[:wanted])
        root = f"/repositories/{self._atlas_id}/datasets?page[size]={wanted}"
        more = len(left) > wanted
        following = f"{root}&page[after]={records[-1].dataset_id}" if more else None
        return DatasetPage(records=records, next_link=following)

    def datasets(self, *, page_size: int | None = None) -> Iterator[DatasetRecord]:
        page = self.page(size=page_size)
        yield from page.records
        while page.next_link is not None:
            page = self.page(page.next_link)
            yield from page.records

    def dataset(self, dataset_id: DatasetId) -> DatasetRecord:
        with self._reading(dataset_id):
            return self._atlas.record(dataset_id)

    def metadata(self, record: DatasetRecord | VersionRecord) -> JsonObject:
        with self._reading(record.dataset_id):
            return self._atlas.metadata(record.metadata_location)

    def versions(
        self, dataset_id: DatasetId, *, include_deleted: bool = False
    ) -> list[VersionRecord]:
        with self._reading(dataset_id):
            return self._atlas.versions(dataset_id, include_deleted=include_deleted)

    def version(self, dataset_id: DatasetId, version_id: VersionId) -> VersionRecord:
        with self._reading(dataset_id):
            return self._atlas.version(dataset_id, version_id)

    def files(self, dataset_id: DatasetId) -> list[FileRecord]:
        with self._reading(dataset_id):
            return [file for _, file in sorted(self._atlas.alive(dataset_id).files.items())]

    def study(self, study_id: StudyId) -> list[DatasetId]:
        with self._reading(None):
            return self._atlas.study(study_id)

    def ingestions(
        self, run_id: RunId, dataset_id: DatasetId | None = None
    ) -> list[IngestionRecord]:
        if not self.capabilities.lists_ingestions:
            return []
        with self._reading(dataset_id):
            return [
                entry
                for entry in self._atlas.ingestions
                if entry.run_id == run_id and dataset_id in {None, entry.dataset_id}
            ]

    def holds(self, location: str) -> bool:
        return str(parse_s3_uri(location)).startswith(self._atlas.root)

    def stat(self, location: str) -> ObjectStat:
        with self._reading(_owner(location, self._atlas_id)):
            return self.objects.stat(location)

    def download(self, location: str, target: Path) -> None:
        with self._reading(_owner(location, self._atlas_id)):
            content = self.objects.read(location)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def update(
        self, dataset_id: DatasetId, change: DatasetChange, stamp: WriteStamp
    ) -> DatasetRecord:
        as_json(change.metadata)
        call = WriteCall(dataset_id, WriteKind.UPDATE, change, stamp)
        return self._write(call, lambda: self._atlas.write(dataset_id, change, stamp))

    def create(
        self, dataset_id: DatasetId, dataset: NewDataset, stamp: WriteStamp
    ) -> DatasetRecord:
        as_json(dataset.metadata)
        call = WriteCall(dataset_id, WriteKind.CREATE, dataset, stamp)
        return self._write(call, lambda: self._atlas.create(dataset_id, dataset, stamp))

    def trigger(self, dataset_id: DatasetId, stamp: WriteStamp) -> None:
        call = WriteCall(dataset_id, WriteKind.TRIGGER, None, stamp)
        self._write(call, lambda: self._atlas.write(dataset_id, DatasetChange(), stamp))

    def delete(self, dataset_id: DatasetId, stamp: WriteStamp) -> None:
        call = WriteCall(dataset_id, WriteKind.DELETE, None, stamp)
        self._write(call, lambda: self._atlas.delete(dataset_id, stamp))

    def attach(self, dataset_id: DatasetId, file: NewFile) -> FileRecord:
        call = WriteCall(dataset_id, WriteKind.ATTACH, file)
        return self._write(call, lambda: self._atlas.attach(dataset_id, file))

    def detach(self, dataset_id: DatasetId, file_name: str) -> None:
        call = WriteCall(dataset_id, WriteKind.DETACH, file_name)
        self._write(call, lambda: self._atlas.detach(dataset_id, file_name))

    def upload(self, source: Path, key: ObjectKey, *, anew: bool = False) -> str:
        self.place(key)
        content = existing_file(source).read_bytes()
        with self._lock:
            return self._transfer(key, content, anew=anew)

    def copy(self, location: str, key: ObjectKey, *, atlas_id: AtlasId) -> str:
        self.place(key)
        self._beside(atlas_id)
        _owner(location, atlas_id)
        with self._lock:
            return self._transfer(key, self.objects.read(location))

    def _beside(self, atlas_id: AtlasId) -> "FakeCatalog":
        found = self._service.atlases.get(atlas_id)
        if found is None:
            raise NotFound("Resource not found", f"Atlas {atlas_id!r} does not exist", status=404)
        return found


def _owner(location: str, atlas_id: AtlasId) -> str:
    """The dataset below which an object is. Raises ``StorageDenied`` for another atlas's."""
    uri = parse_s3_uri(location)
    atlas, *names = uri.key.split("/")
    if (uri.bucket, atlas) != (BUCKET, atlas_id):
        raise StorageDenied(f"the object store refuses access to {uri} (atlas {atlas_id})")
    return names[1] if len(names) > 1 else ""
