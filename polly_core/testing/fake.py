"""A catalog in memory: ``Reader`` and ``Writer``, with faults to order.

The contract suite proves it against a real service. Ids and times are counters: two runs of one
program see the same ones.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from polly_core.errors import CatalogError, InvalidInput, StorageError
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
    RunId,
    StudyId,
    VersionId,
    VersionRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from polly_core.testing.faults import ChooseFault, Fault, Script, error_of, no_faults
from polly_core.testing.memory import MemoryAtlas, NewDataset, as_json

INSTANCE_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class WriteCall:
    """One write as it arrived, whether it then happened or not."""

    dataset_id: DatasetId
    change: DatasetChange
    stamp: WriteStamp
    fault: Fault | None


class Scripted:
    """The scripted side of the fake: what a test puts there and orders to go wrong."""

    def __init__(
        self,
        atlas_id: str = "9",
        *,
        enforce_versions: bool = True,
        choose_fault: ChooseFault = no_faults,
    ) -> None:
        self.writes: list[WriteCall] = []
        """Every write that arrived, in order."""
        self.reads = 0
        """Every read that arrived, faulty ones included."""
        self._atlas_id = AtlasId(atlas_id)
        self._atlas = MemoryAtlas(atlas_id, enforce_versions=enforce_versions)
        self._choose_fault = choose_fault
        self._lock = threading.RLock()
        self._late: list[WriteCall] = []
        self._write_faults: Script[tuple[Fault, float | None]] = Script()
        self._read_faults: Script[CatalogError | StorageError] = Script()
        self._edits_before: Script[DatasetChange] = Script()
        self._edits_after: Script[DatasetChange] = Script()

    def add(
        self,
        dataset_id: str,
        metadata: JsonObject | None = None,
        *,
        data_type: str = "Bulk RNAseq",
        study_id: str | None = None,
    ) -> DatasetRecord:
        """A new dataset, or a new life of a deleted one. Raises ``Conflict`` where it is alive."""
        study = None if study_id is None else StudyId(study_id)
        return self.add_dataset(
            NewDataset(DatasetId(dataset_id), metadata or {}, data_type, study_id=study)
        )

    def add_dataset(self, new: NewDataset) -> DatasetRecord:
        """The same with every attribute."""
        with self._lock:
            return self._atlas.add(new)

    def edit(self, dataset_id: str, change: DatasetChange) -> DatasetRecord:
        """Someone else's edit: it happens at once and is in no log of ours."""
        with self._lock:
            return self._atlas.change(DatasetId(dataset_id), change)

    def remove(self, dataset_id: str) -> None:
        """Someone deletes a dataset. Raises ``NotFound``."""
        with self._lock:
            self._atlas.remove(DatasetId(dataset_id))

    def attach(
        self, dataset_id: str, file_name: str, *, tag: str | None = None, linked: bool = False
    ) -> FileRecord:
        """Someone attaches a file, linked to the current data if wanted. Raises ``NotFound``."""
        with self._lock:
            return self._atlas.attach(DatasetId(dataset_id), file_name, tag=tag, linked=linked)

    def fail_write(
        self,
        fault: Fault,
        dataset_id: str | None = None,
        *,
        times: int = 1,
        retry_after: float | None = None,
    ) -> None:
        """Let the next writes (to one dataset, or to any) go wrong."""
        with self._lock:
            self._write_faults.add((fault, retry_after), dataset_id, times)

    def fail_read(
        self, error: CatalogError | StorageError, dataset_id: str | None = None, *, times: int = 1
    ) -> None:
        """Let the next reads (of one dataset, or any, pages and metadata included) raise it."""
        with self._lock:
            self._read_faults.add(error, dataset_id, times)

    def edit_before_write(self, dataset_id: str, change: DatasetChange) -> None:
        """Let someone else edit the dataset just before the next write to it is looked at."""
        with self._lock:
            self._edits_before.add(change, dataset_id, 1)

    def edit_after_write(self, dataset_id: str, change: DatasetChange) -> None:
        """Let someone else edit the dataset right after the next write to it happened."""
        with self._lock:
            self._edits_after.add(change, dataset_id, 1)

    def deliver_late(self) -> int:
        """Let every late write happen now, as far as it still can; how many did."""
        with self._lock:
            late, self._late = self._late, []
            return sum(self._deliver(call) for call in late)

    def _deliver(self, call: WriteCall) -> bool:
        try:
            self._atlas.write(call.dataset_id, call.change, call.stamp)
        except CatalogError:
            return False
        return True


class FakeCatalog(Scripted):
    """One atlas in memory. Thread-safe.

    ``enforce_versions=False`` is a service without preconditions and without ingestion records,
    as the hosted one is. ``choose_fault`` decides for each write what goes wrong with it.
    """

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

    def update(
        self, dataset_id: DatasetId, change: DatasetChange, stamp: WriteStamp
    ) -> DatasetRecord:
        as_json(change.metadata)
        with self._lock:
            told = self._write_faults.take(dataset_id)
            chosen = self._choose_fault(dataset_id, len(self.writes) + 1)
            fault, retry_after = told or (chosen, None)
            call = WriteCall(dataset_id, change, stamp, fault)
            self.writes.append(call)
            self._edit_now(self._edits_before, dataset_id)
            if fault is Fault.LATE:
                self._late.append(call)
            if fault is not None and fault is not Fault.LOST_ANSWER:
                raise error_of(fault, retry_after)
            record = self._atlas.write(dataset_id, change, stamp)
            self._edit_now(self._edits_after, dataset_id)
            if fault is not None:
                raise error_of(fault)
            return record

    def _edit_now(self, edits: Script[DatasetChange], dataset_id: DatasetId) -> None:
        change = edits.take(dataset_id)
        if change is not None:
            self._atlas.change(dataset_id, change)

    @contextmanager
    def _reading(self, dataset_id: DatasetId | None) -> Iterator[None]:
        with self._lock:
            self.reads += 1
            error = self._read_faults.take(dataset_id)
            if error is not None:
                raise error
            yield
