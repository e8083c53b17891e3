"""What operations and the engine need of a catalog. Implemented over HTTP and in memory."""

from collections.abc import Iterator
from typing import Protocol

from polly_core.models.catalog import (
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


class Reader(Protocol):
    """Reads of one atlas. Thread-safe. Every read is retried; it can send nothing but GET.

    Any method may raise ``Unauthorized``, ``AccessDenied``, ``RepositoryLocked``, ``ReadFailed``
    (no usable answer after every retry) and, for objects, ``StorageError``.
    """

    @property
    def catalog(self) -> CatalogRef:
        """The atlas, with the instance id where the service has one."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the service can do beyond the hosted protocol; asked once."""
        ...

    def page(self, link: str | None = None, *, size: int | None = None) -> DatasetPage:
        """One page of live datasets, ascending by id; ``link`` as an earlier page gave it."""
        ...

    def datasets(self, *, page_size: int | None = None) -> Iterator[DatasetRecord]:
        """Every live dataset, page by page."""
        ...

    def dataset(self, dataset_id: DatasetId) -> DatasetRecord:
        """The dataset as it stands. Raises ``NotFound``."""
        ...

    def metadata(self, record: DatasetRecord | VersionRecord) -> JsonObject:
        """The metadata of exactly the version recorded; a new object at each call."""
        ...

    def versions(
        self, dataset_id: DatasetId, *, include_deleted: bool = False
    ) -> list[VersionRecord]:
        """The history, newest first. Raises ``NotFound``."""
        ...

    def version(self, dataset_id: DatasetId, version_id: VersionId) -> VersionRecord:
        """One version, of any life. Raises ``NotFound``."""
        ...

    def files(self, dataset_id: DatasetId) -> list[FileRecord]:
        """Supplementary files by name. Raises ``NotFound``."""
        ...

    def study(self, study_id: StudyId) -> list[DatasetId]:
        """Ids of the live datasets in a study, sorted. Raises ``NotFound``."""
        ...

    def ingestions(
        self, run_id: RunId, dataset_id: DatasetId | None = None
    ) -> list[IngestionRecord]:
        """Recorded ingestion requests of a run, oldest first; empty where they are not recorded."""
        ...


class Writer(Protocol):
    """Writes to one atlas. Thread-safe. A write that was sent is never repeated.

    Raises, beside a reader's errors: ``BadRequest``, ``Conflict``, ``NotFound``,
    ``PayloadTooLarge``, ``Unprocessable``, ``Throttled``, ``Unavailable``, ``NoConnection`` (none
    of these happened) and ``OutcomeUnknown`` (it may have).
    """

    def update(
        self, dataset_id: DatasetId, change: DatasetChange, stamp: WriteStamp
    ) -> DatasetRecord:
        """PATCH: only members that were set are sent. Answers the dataset as it stands then."""
        ...
