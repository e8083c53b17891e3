"""What operations and the engine need of a catalog. Implemented over HTTP and in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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

    def holds(self, location: str) -> bool:
        """Whether a location is in this atlas's part of the store, there or not."""
        ...

    def stat(self, location: str) -> ObjectStat:
        """The object, pinned. Raises ``ObjectMissing`` (a ``StorageError``) where it is gone."""
        ...

    def download(self, location: str, target: Path) -> None:
        """Fetch an object into a file that appears whole or not at all."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """Where an object belongs: the data of a dataset, or one of its supplementary files."""

    dataset_id: DatasetId
    extension: str = ""
    """Of the data file, the dot included; empty for a supplementary file."""
    file_name: str = ""
    """Of the supplementary file; empty for the data."""


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

    def create(
        self, dataset_id: DatasetId, dataset: NewDataset, stamp: WriteStamp
    ) -> DatasetRecord:
        """POST: ``Conflict`` where the id lives. A deleted id gets a new life."""
        ...

    def trigger(self, dataset_id: DatasetId, stamp: WriteStamp) -> None:
        """Ask for an ingestion of the dataset as it stands; nothing else changes."""
        ...

    def delete(self, dataset_id: DatasetId, stamp: WriteStamp) -> None:
        """Delete; ``NotFound`` where it is not live. Its files are gone for good."""
        ...

    def attach(self, dataset_id: DatasetId, file: NewFile) -> FileRecord:
        """Attach a file that is in the store, in the place of one of the same name."""
        ...

    def detach(self, dataset_id: DatasetId, file_name: str) -> None:
        """Remove a supplementary file; ``NotFound`` where there is none."""
        ...


class Store(Protocol):
    """The objects of one atlas: what catalog documents refer to. Thread-safe.

    Keys are the canonical ones (wire.md §5.1); every location is pinned to its object version. Any
    method may raise ``AccessDenied``, ``Unauthorized`` and ``StorageError`` (``retryable`` where
    trying again may help).
    """

    def upload(self, source: Path, key: ObjectKey, *, anew: bool = False) -> str:
        """Put a local file, checksummed; its location.

        What has the same content there already is not sent again. A failed upload is aborted.

        Args:
            anew: send it without looking; no object had this location before.
        """
        ...

    def copy(self, location: str, key: ObjectKey, *, atlas_id: AtlasId) -> str:
        """Copy an object of another atlas (or of this one) server-side; its location here."""
        ...


class Ports(Protocol):
    """Everything of one atlas that a run uses."""

    @property
    def reader(self) -> Reader: ...

    @property
    def writer(self) -> Writer: ...

    @property
    def store(self) -> Store: ...

    def beside(self, atlas_id: AtlasId) -> Reader:
        """Reads of another atlas of the same service, over the same connections."""
        ...

    def close(self) -> None:
        """Give up connections."""
        ...
