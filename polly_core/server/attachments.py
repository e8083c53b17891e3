"""The rules of supplementary files (wire.md §4.6, §6.4)."""

from collections.abc import Callable
from typing import NamedTuple

from polly_core.models.catalog import AtlasId, DatasetId, FileRecord
from polly_core.server import store_catalog as sql
from polly_core.server.documents import AttachRequest
from polly_core.server.ports import Blobs
from polly_core.server.refusals import conflict, not_found, unprocessable
from polly_core.server.service import live, now_ms, pinned
from polly_core.server.store import Store, Transaction


class Attached(NamedTuple):
    """A file as it stands now; ``replaced`` when there was one of this name."""

    record: FileRecord
    replaced: bool
    warnings: tuple[str, ...]


class FileService:
    """Every rule of supplementary files. Thread-safe.

    Each method raises ``NotFound`` where the dataset is not live or has no such file.
    """

    def __init__(self, store: Store, blobs: Blobs, *, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock

    def attach(self, atlas: AtlasId, dataset: DatasetId, request: AttachRequest) -> Attached:
        """Add a file, or replace the one of this name whole, its tag and link included.

        Raises:
            Unprocessable: the object is not in this atlas, or the source version is unknown.
            Conflict: the dataset's data is no longer that of the source version.
        """
        with self._store.read() as connection:
            live(connection, atlas, dataset)
            _source(connection, atlas, dataset, request)
        location = pinned(self._blobs, atlas, request.file_s3_uri)
        with self._store.write() as connection:
            live(connection, atlas, dataset)
            record = FileRecord(
                dataset_id=dataset,
                file_name=request.file_name,
                file_format=request.file_format,
                file_location=location,
                tag=request.tag,
                derived_from=_source(connection, atlas, dataset, request),
                created_at=self._clock(),
            )
            found = sql.find_file(connection, atlas, dataset, request.file_name)
            sql.put_file(connection, atlas, record)
        return Attached(record, found is not None, request.warnings)

    def files(self, atlas: AtlasId, dataset: DatasetId) -> list[FileRecord]:
        """Every file of a dataset, by name."""
        with self._store.read() as connection:
            live(connection, atlas, dataset)
            return sql.files_of(connection, atlas, dataset)

    def file(self, atlas: AtlasId, dataset: DatasetId, name: str) -> FileRecord:
        """One file."""
        with self._store.read() as connection:
            live(connection, atlas, dataset)
            found = sql.find_file(connection, atlas, dataset, name)
        if found is None:
            raise _missing_file(dataset, name)
        return found

    def detach(self, atlas: AtlasId, dataset: DatasetId, name: str) -> None:
        """Remove a file for good."""
        with self._store.write() as connection:
            live(connection, atlas, dataset)
            if not sql.delete_file(connection, atlas, dataset, name):
                raise _missing_file(dataset, name)


def _source(
    connection: Transaction, atlas: AtlasId, dataset: DatasetId, request: AttachRequest
) -> str | None:
    """The data location that the file is derived from; None for a file without link."""
    if request.source_version_id is None:
        return None
    source = sql.find_version(connection, atlas, dataset, request.source_version_id)
    if source is None:
        raise unprocessable(
            f"source_version_id: dataset {dataset!r} has no version {request.source_version_id!r}"
        )
    current = live(connection, atlas, dataset)
    if source.data_location != current.data_location:
        raise conflict(
            f"The data of dataset {dataset!r} has changed since version "
            f"{request.source_version_id!r}; its current version is {current.version_id!r}"
        )
    return source.data_location


def _missing_file(dataset: DatasetId, name: str) -> Exception:
    return not_found(f"Dataset {dataset!r} has no supplementary file {name!r}")
