"""The rules of datasets, versions, studies and ingestions (wire.md §4, §6, §7)."""

import time
import uuid
from collections.abc import Callable, Collection
from typing import NamedTuple

from polly_core.errors import InvalidInput, ObjectMissing
from polly_core.models.catalog import (
    CAN_EXPECT_VERSION,
    AtlasId,
    DatasetId,
    DatasetRecord,
    IngestionRecord,
    StudyId,
    VersionId,
    VersionRecord,
)
from polly_core.models.wire import IngestionNote
from polly_core.server import store_catalog as sql
from polly_core.server.documents import (
    CreateRequest,
    DeleteRequest,
    IngestionRequest,
    UpdateRequest,
)
from polly_core.server.ports import Blobs
from polly_core.server.refusals import conflict, not_found, unprocessable
from polly_core.server.store import Store, Transaction


class Written(NamedTuple):
    """What a write made of a dataset."""

    record: DatasetRecord
    ingestion: IngestionNote
    warnings: tuple[str, ...]


class Page(NamedTuple):
    """Datasets, and the id after which the next page begins; None on the last page."""

    records: list[DatasetRecord]
    after: str | None


class IngestionPage(NamedTuple):
    """Ingestions, and the number after which the next page begins; None on the last page."""

    records: list[IngestionRecord]
    after: int | None


def now_ms() -> int:
    """The time, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class DatasetService:
    """Every rule of datasets. Thread-safe; a refusal is raised before anything was changed.

    A write happens in one transaction that no other write overlaps, so updates of one dataset
    take turns and of two simultaneous creates one wins. The metadata object is stored before
    the transaction begins: what a row names exists.
    """

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        *,
        capabilities: Callable[[], Collection[str]],
        clock: Callable[[], int] = now_ms,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._capabilities = capabilities
        self._clock = clock
        self._new_id = new_id

    def dataset(self, atlas: AtlasId, dataset: DatasetId) -> DatasetRecord:
        """The live dataset. Raises ``NotFound``."""
        with self._store.read() as connection:
            return live(connection, atlas, dataset)

    def page(self, atlas: AtlasId, *, after: str, size: int) -> Page:
        """Live datasets after an id, ascending in byte order."""
        if size == 0:
            return Page([], None)
        with self._store.read() as connection:
            found = sql.page_of_datasets(connection, atlas, after=after, limit=size + 1)
        more = len(found) > size
        return Page(found[:size], found[size - 1].dataset_id if more else None)

    def create(self, atlas: AtlasId, request: CreateRequest) -> Written:
        """A new dataset, or a new life of a deleted id.

        Raises:
            Conflict: a live dataset has this id.
            Unprocessable: the data object is not in this atlas.
        """
        dataset = request.dataset_id
        with self._store.read() as connection:
            _refuse_live(connection, atlas, dataset)
        location = pinned(self._blobs, atlas, request.data_s3_uri)
        version = VersionId(self._new_id())
        metadata = self._blobs.put_metadata(atlas, dataset, version, request.metadata)
        with self._store.write() as connection:
            _refuse_live(connection, atlas, dataset)
            newest = sql.newest_version(connection, atlas, dataset)
            place = sql.Place(newest.place.number + 1, newest.place.life + 1) if newest else FIRST
            at = self._now(newest)
            record = DatasetRecord(
                dataset_id=dataset,
                version_id=version,
                data_type=request.data_type,
                data_format=request.data_format,
                data_location=location,
                metadata_location=metadata,
                study_id=request.study_id,
                last_modified_at=at,
                created_at=at,
            )
            sql.insert_dataset(connection, atlas, record)
            sql.insert_version(connection, atlas, _version_of(record), place)
            note = self._queue(connection, atlas, record, request.ingestion)
        return Written(record, note, request.warnings)

    def update(self, atlas: AtlasId, dataset: DatasetId, request: UpdateRequest) -> Written:
        """Change a live dataset; what was not given stays.

        Raises:
            NotFound: no such live dataset.
            Conflict: it is not at the expected version.
            Unprocessable: the data object is not in this atlas.
        """
        with self._store.read() as connection:
            self._expect(live(connection, atlas, dataset), request.expected_version_id)
        version = VersionId(self._new_id())
        parts = self._parts(atlas, dataset, version, request)
        with self._store.write() as connection:
            current = live(connection, atlas, dataset)
            self._expect(current, request.expected_version_id)
            record = current.model_copy(update=parts)
            dropped: tuple[str, ...] = ()
            if request.makes_version:
                record = self._new_version(connection, atlas, record)
                if record.data_location != current.data_location:
                    dropped = _drop_linked(connection, atlas, record)
            elif parts:
                at = max(self._clock(), current.last_modified_at)
                record = record.model_copy(update={"last_modified_at": at})
                sql.update_dataset(connection, atlas, record)
            note = self._queue(connection, atlas, record, request.ingestion)
        return Written(record, note, (*request.warnings, *dropped))

    def delete(self, atlas: AtlasId, dataset: DatasetId, request: DeleteRequest) -> None:
        """Let a dataset be live no more; its files go, its history stays.

        Raises:
            NotFound: no such live dataset.
            Conflict: it is not at the expected version.
        """
        with self._store.write() as connection:
            current = live(connection, atlas, dataset)
            self._expect(current, request.expected_version_id)
            sql.delete_dataset(connection, atlas, dataset)
            sql.delete_files(connection, atlas, dataset)
            self._queue(connection, atlas, current, request.ingestion, removal=True)

    def versions(
        self, atlas: AtlasId, dataset: DatasetId, *, include_deleted: bool
    ) -> list[VersionRecord]:
        """The history, newest first: of the present life, or of all.

        Raises:
            NotFound: never existed; or it is deleted and those were not asked for.
        """
        with self._store.read() as connection:
            alive = sql.find_dataset(connection, atlas, dataset) is not None
            history = sql.history(connection, atlas, dataset)
        if not history or not (alive or include_deleted):
            raise missing_dataset(dataset)
        life = history[0].place.life
        return [v.record for v in history if include_deleted or v.place.life == life]

    def version(self, atlas: AtlasId, dataset: DatasetId, version: VersionId) -> VersionRecord:
        """One version of any life. Raises ``NotFound``."""
        with self._store.read() as connection:
            found = sql.find_version(connection, atlas, dataset, version)
        if found is None:
            raise not_found(f"Dataset {dataset!r} has no version {version!r}")
        return found

    def studies(self, atlas: AtlasId) -> list[StudyId]:
        """Studies that a live dataset names, sorted."""
        with self._store.read() as connection:
            return sql.studies(connection, atlas)

    def study(self, atlas: AtlasId, study: StudyId) -> list[DatasetId]:
        """Live datasets of a study, sorted. Raises ``NotFound`` where there are none."""
        with self._store.read() as connection:
            members = sql.datasets_in_study(connection, atlas, study)
        if not members:
            raise not_found(f"Study {study!r} does not exist: no dataset belongs to it")
        return members

    def ingestions(
        self, atlas: AtlasId, only: sql.IngestionFilter, *, after: int, size: int
    ) -> IngestionPage:
        """Recorded ingestion requests after a number, oldest first."""
        if size == 0:
            return IngestionPage([], None)
        with self._store.read() as connection:
            found = sql.page_of_ingestions(connection, atlas, only, after=after, limit=size + 1)
        more = len(found) > size
        records = [record for _, record in found[:size]]
        return IngestionPage(records, found[size - 1][0] if more else None)

    def _parts(
        self, atlas: AtlasId, dataset: DatasetId, version: VersionId, request: UpdateRequest
    ) -> dict[str, str | None]:
        """The members of the record that an update replaces; stores the metadata object."""
        parts: dict[str, str | None] = {}
        if request.makes_version:
            parts["version_id"] = version
        if request.data_type is not None:
            parts["data_type"] = request.data_type
        if request.data_format is not None:
            parts["data_format"] = request.data_format
        if request.data_s3_uri is not None:
            parts["data_location"] = pinned(self._blobs, atlas, request.data_s3_uri)
        if request.metadata is not None:
            parts["metadata_location"] = self._blobs.put_metadata(
                atlas, dataset, version, request.metadata
            )
        if request.sets_study:
            parts["study_id"] = request.study_id
        return parts

    def _new_version(
        self, connection: Transaction, atlas: AtlasId, record: DatasetRecord
    ) -> DatasetRecord:
        at = max(self._clock(), record.last_modified_at)
        record = record.model_copy(update={"last_modified_at": at})
        sql.update_dataset(connection, atlas, record)
        sql.append_version(connection, atlas, _version_of(record))
        return record

    def _queue(
        self,
        connection: Transaction,
        atlas: AtlasId,
        record: DatasetRecord,
        request: IngestionRequest,
        *,
        removal: bool = False,
    ) -> IngestionNote:
        entry = sql.NewIngestion(
            dataset_id=record.dataset_id,
            version_id=None if removal else record.version_id,
            run_id=request.run_id or self._new_id(),
            params=request.params,
            at=self._clock(),
        )
        sql.insert_ingestion(connection, atlas, entry)
        return IngestionNote(run_id=entry.run_id, status="queued", params=entry.params)

    def _expect(self, current: DatasetRecord, expected: VersionId | None) -> None:
        if expected is None or expected == current.version_id:
            return
        if CAN_EXPECT_VERSION in self._capabilities():
            raise conflict(
                f"Dataset {current.dataset_id!r} is at version {current.version_id!r}, "
                f"not at the expected {expected!r}; read it again"
            )

    def _now(self, newest: sql.Placed | None) -> int:
        # A clock that went back must not bring the history out of order.
        return max(self._clock(), newest.record.created_at) if newest else self._clock()


FIRST = sql.Place(number=1, life=1)


def live(connection: Transaction, atlas: AtlasId, dataset: DatasetId) -> DatasetRecord:
    """The live dataset. Raises ``NotFound``."""
    found = sql.find_dataset(connection, atlas, dataset)
    if found is None:
        raise missing_dataset(dataset)
    return found


def missing_dataset(dataset: DatasetId) -> Exception:
    """What is raised for a dataset that is not live."""
    return not_found(f"Dataset {dataset!r} does not exist")


def pinned(blobs: Blobs, atlas: AtlasId, uri: str) -> str:
    """The URI with the object version it means. Raises ``Unprocessable``."""
    try:
        return blobs.pin(atlas, uri)
    except (InvalidInput, ObjectMissing) as error:
        raise unprocessable(str(error)) from error


def _refuse_live(connection: Transaction, atlas: AtlasId, dataset: DatasetId) -> None:
    if sql.find_dataset(connection, atlas, dataset) is not None:
        raise conflict(f"Dataset {dataset!r} already exists")


def _drop_linked(connection: Transaction, atlas: AtlasId, record: DatasetRecord) -> tuple[str, ...]:
    """Delete the files that are linked to other data than the current; a warning for each."""
    dropped = sql.delete_stale_files(connection, atlas, record.dataset_id, record.data_location)
    return tuple(
        f"Supplementary file {name!r} was linked to the previous data and has been deleted"
        for name in dropped
    )


def _version_of(record: DatasetRecord) -> VersionRecord:
    return VersionRecord(
        dataset_id=record.dataset_id,
        version_id=record.version_id,
        data_type=record.data_type,
        data_format=record.data_format,
        data_location=record.data_location,
        metadata_location=record.metadata_location,
        created_at=record.last_modified_at,
    )
