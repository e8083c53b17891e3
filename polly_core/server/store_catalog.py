"""SQL of datasets, versions, studies, files and ingestions. Every function is one statement."""

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from polly_core.models.catalog import (
    AtlasId,
    DatasetId,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    RunId,
    StudyId,
    VersionId,
    VersionRecord,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.server.schema import datasets, files, ingestions, versions

_DATASET = tuple(c for c in datasets.c if c.name != "atlas_id")
_VERSION = tuple(c for c in versions.c if c.name not in {"atlas_id", "number", "life"})
_FILE = tuple(c for c in files.c if c.name != "atlas_id")


class Place(NamedTuple):
    """Where a version stands in the history of its id."""

    number: int
    life: int


class Placed(NamedTuple):
    """A version and its place."""

    record: VersionRecord
    place: Place


class NewIngestion(NamedTuple):
    """An ingestion to be queued; without a version it is a removal."""

    dataset_id: DatasetId
    version_id: VersionId | None
    run_id: str
    params: JsonObject | None
    at: int


class IngestionFilter(NamedTuple):
    """Which ingestions are asked for; None is no condition."""

    run_id: str | None = None
    dataset_id: DatasetId | None = None


def find_dataset(c: Connection, atlas: AtlasId, dataset: DatasetId) -> DatasetRecord | None:
    """The live dataset."""
    query = select(*_DATASET).where(datasets.c.atlas_id == atlas, datasets.c.dataset_id == dataset)
    row = c.execute(query).mappings().one_or_none()
    return None if row is None else DatasetRecord(**row)


def page_of_datasets(
    c: Connection, atlas: AtlasId, *, after: str, limit: int
) -> list[DatasetRecord]:
    """Live datasets after an id, ascending in byte order."""
    query = (
        select(*_DATASET)
        .where(datasets.c.atlas_id == atlas, datasets.c.dataset_id > after)
        .order_by(datasets.c.dataset_id)
        .limit(limit)
    )
    return [DatasetRecord(**row) for row in c.execute(query).mappings()]


def insert_dataset(c: Connection, atlas: AtlasId, record: DatasetRecord) -> None:
    """Add a live dataset."""
    c.execute(insert(datasets), {"atlas_id": atlas, **dict(record)})


def update_dataset(c: Connection, atlas: AtlasId, record: DatasetRecord) -> None:
    """Let the live dataset be as recorded."""
    c.execute(
        update(datasets)
        .where(datasets.c.atlas_id == atlas, datasets.c.dataset_id == record.dataset_id)
        .values(dict(record))
    )


def delete_dataset(c: Connection, atlas: AtlasId, dataset: DatasetId) -> None:
    """Let the dataset be live no more. Its history stays."""
    c.execute(
        delete(datasets).where(datasets.c.atlas_id == atlas, datasets.c.dataset_id == dataset)
    )


def newest_version(c: Connection, atlas: AtlasId, dataset: DatasetId) -> Placed | None:
    """The newest version that an id ever had, live or not."""
    row = c.execute(_history(atlas, dataset).limit(1)).mappings().one_or_none()
    return None if row is None else _placed(row)


def history(c: Connection, atlas: AtlasId, dataset: DatasetId) -> list[Placed]:
    """Every version of an id over all its lives, newest first."""
    return [_placed(row) for row in c.execute(_history(atlas, dataset)).mappings()]


def find_version(
    c: Connection, atlas: AtlasId, dataset: DatasetId, version: VersionId
) -> VersionRecord | None:
    """One version of the dataset, of any life."""
    query = select(*_VERSION).where(
        versions.c.version_id == version,
        versions.c.atlas_id == atlas,
        versions.c.dataset_id == dataset,
    )
    row = c.execute(query).mappings().one_or_none()
    return None if row is None else VersionRecord(**row)


def insert_version(c: Connection, atlas: AtlasId, record: VersionRecord, place: Place) -> None:
    """Add a version to the history."""
    values = {"atlas_id": atlas, "number": place.number, "life": place.life, **dict(record)}
    c.execute(insert(versions), values)


def studies(c: Connection, atlas: AtlasId) -> list[StudyId]:
    """Studies that a live dataset names, sorted."""
    query = (
        select(datasets.c.study_id)
        .where(datasets.c.atlas_id == atlas, datasets.c.study_id.is_not(None))
        .distinct()
        .order_by(datasets.c.study_id)
    )
    return [StudyId(study) for study in c.execute(query).scalars()]


def datasets_in_study(c: Connection, atlas: AtlasId, study: StudyId) -> list[DatasetId]:
    """Live datasets of a study, sorted."""
    query = (
        select(datasets.c.dataset_id)
        .where(datasets.c.atlas_id == atlas, datasets.c.study_id == study)
        .order_by(datasets.c.dataset_id)
    )
    return [DatasetId(dataset) for dataset in c.execute(query).scalars()]


def files_of(c: Connection, atlas: AtlasId, dataset: DatasetId) -> list[FileRecord]:
    """Supplementary files by name."""
    query = (
        select(*_FILE)
        .where(files.c.atlas_id == atlas, files.c.dataset_id == dataset)
        .order_by(files.c.file_name)
    )
    return [FileRecord(**row) for row in c.execute(query).mappings()]


def find_file(c: Connection, atlas: AtlasId, dataset: DatasetId, name: str) -> FileRecord | None:
    """One supplementary file."""
    query = select(*_FILE).where(
        files.c.atlas_id == atlas, files.c.dataset_id == dataset, files.c.file_name == name
    )
    row = c.execute(query).mappings().one_or_none()
    return None if row is None else FileRecord(**row)


def put_file(c: Connection, atlas: AtlasId, record: FileRecord) -> None:
    """Add a supplementary file, or replace the one of this name whole."""
    statement = upsert(files).values(atlas_id=atlas, **dict(record))
    c.execute(
        statement.on_conflict_do_update(index_elements=list(files.primary_key), set_=dict(record))
    )


def delete_file(c: Connection, atlas: AtlasId, dataset: DatasetId, name: str) -> bool:
    """Remove a supplementary file; False where there is none."""
    result = c.execute(
        delete(files).where(
            files.c.atlas_id == atlas, files.c.dataset_id == dataset, files.c.file_name == name
        )
    )
    return bool(result.rowcount)


def delete_files(c: Connection, atlas: AtlasId, dataset: DatasetId) -> None:
    """Remove every supplementary file of a dataset."""
    c.execute(delete(files).where(files.c.atlas_id == atlas, files.c.dataset_id == dataset))


def delete_stale_files(
    c: Connection, atlas: AtlasId, dataset: DatasetId, data_location: str
) -> list[str]:
    """Remove the files that are linked to other data than this; answers their names, sorted."""
    statement = (
        delete(files)
        .where(
            files.c.atlas_id == atlas,
            files.c.dataset_id == dataset,
            files.c.derived_from != data_location,
        )
        .returning(files.c.file_name)
    )
    return sorted(c.execute(statement).scalars())


def insert_ingestion(c: Connection, atlas: AtlasId, entry: NewIngestion) -> None:
    """Queue an ingestion."""
    values = {**entry._asdict(), "atlas_id": atlas, "params": json.dumps(entry.params)}
    c.execute(insert(ingestions), values)


def page_of_ingestions(
    c: Connection, atlas: AtlasId, only: IngestionFilter, *, after: int, limit: int
) -> list[tuple[int, IngestionRecord]]:
    """Ingestions after a number, oldest first, each with its number."""
    query = (
        select(ingestions)
        .where(ingestions.c.atlas_id == atlas, ingestions.c.number > after)
        .order_by(ingestions.c.number)
        .limit(limit)
    )
    if only.run_id is not None:
        query = query.where(ingestions.c.run_id == only.run_id)
    if only.dataset_id is not None:
        query = query.where(ingestions.c.dataset_id == only.dataset_id)
    return [_ingestion(row) for row in c.execute(query).mappings()]


def _history(atlas: AtlasId, dataset: DatasetId) -> Select[tuple[Any, ...]]:
    return (
        select(versions.c.number, versions.c.life, *_VERSION)
        .where(versions.c.atlas_id == atlas, versions.c.dataset_id == dataset)
        .order_by(versions.c.number.desc())
    )


def _placed(row: RowMapping) -> Placed:
    values = dict(row)
    place = Place(values.pop("number"), values.pop("life"))
    return Placed(VersionRecord(**values), place)


def _ingestion(row: RowMapping) -> tuple[int, IngestionRecord]:
    record = IngestionRecord(
        ingestion_id=str(row["number"]),
        dataset_id=row["dataset_id"],
        version_id=row["version_id"],
        run_id=RunId(row["run_id"]),
        params=json.loads(row["params"]),
        at=row["at"],
    )
    return row["number"], record
