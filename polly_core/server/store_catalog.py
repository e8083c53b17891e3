"""SQL of datasets, versions, studies, files and ingestions. Every function runs one statement.

Statements are built once, with named parameters: building one costs more than running it.
"""

import json
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    RowMapping,
    bindparam,
    delete,
    insert,
    select,
    update,
)
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
from polly_core.server.prepared import Prepared, Row
from polly_core.server.schema import datasets as d
from polly_core.server.schema import files as f
from polly_core.server.schema import ingestions as i
from polly_core.server.schema import versions as v

_ATLAS: BindParameter[str] = bindparam("in_atlas")
_DATASET: BindParameter[str] = bindparam("of_dataset")
_AFTER: BindParameter[Any] = bindparam("after")
_LIMIT: BindParameter[int] = bindparam("count")
_DATASET_COLUMNS = tuple(c for c in d.c if c is not d.c.atlas_id)
_VERSION_COLUMNS = tuple(c for c in v.c if c not in {v.c.atlas_id, v.c.number, v.c.life})
_FILE_COLUMNS = tuple(c for c in f.c if c is not f.c.atlas_id)

_THIS_DATASET = (d.c.atlas_id == _ATLAS) & (d.c.dataset_id == _DATASET)
_FIND_DATASET = Prepared(select(*_DATASET_COLUMNS).where(_THIS_DATASET))
_PAGE_OF_DATASETS = Prepared(
    select(*_DATASET_COLUMNS)
    .where(d.c.atlas_id == _ATLAS, d.c.dataset_id > _AFTER)
    .order_by(d.c.dataset_id)
    .limit(_LIMIT)
)
_INSERT_DATASET = Prepared(insert(d))
_UPDATE_DATASET = Prepared(
    update(d)
    .where(_THIS_DATASET)
    .values({c.name: bindparam(c.name) for c in _DATASET_COLUMNS if not c.primary_key})
)
_DELETE_DATASET = Prepared(delete(d).where(_THIS_DATASET))

_VERSIONS_OF = (
    select(v.c.number, v.c.life, *_VERSION_COLUMNS)
    .where(v.c.atlas_id == _ATLAS, v.c.dataset_id == _DATASET)
    .order_by(v.c.number.desc())
)
_HISTORY = Prepared(_VERSIONS_OF)
_NEWEST = Prepared(_VERSIONS_OF.limit(1))
_FIND_VERSION = Prepared(
    select(*_VERSION_COLUMNS).where(
        v.c.version_id == bindparam("version"), v.c.atlas_id == _ATLAS, v.c.dataset_id == _DATASET
    )
)
_INSERT_VERSION = Prepared(insert(v))
_NEW_VERSION: dict[str, BindParameter[str]] = {c.name: bindparam(c.name) for c in _VERSION_COLUMNS}
_APPEND_VERSION = Prepared(
    insert(v).from_select(
        ["atlas_id", "number", "life", *_NEW_VERSION],
        select(_ATLAS, v.c.number + 1, v.c.life, *_NEW_VERSION.values())
        .where(v.c.atlas_id == _ATLAS, v.c.dataset_id == _DATASET)
        .order_by(v.c.number.desc())
        .limit(1),
    )
)

_STUDIES = Prepared(
    select(d.c.study_id)
    .where(d.c.atlas_id == _ATLAS, d.c.study_id.is_not(None))
    .distinct()
    .order_by(d.c.study_id)
)
_IN_STUDY = Prepared(
    select(d.c.dataset_id)
    .where(d.c.atlas_id == _ATLAS, d.c.study_id == bindparam("study"))
    .order_by(d.c.dataset_id)
)

_FILES_OF_DATASET = (f.c.atlas_id == _ATLAS) & (f.c.dataset_id == _DATASET)
_THIS_FILE = _FILES_OF_DATASET & (f.c.file_name == bindparam("named"))
_FILES = Prepared(select(*_FILE_COLUMNS).where(_FILES_OF_DATASET).order_by(f.c.file_name))
_FIND_FILE = Prepared(select(*_FILE_COLUMNS).where(_THIS_FILE))
_DELETE_FILE = Prepared(delete(f).where(_THIS_FILE))
_DELETE_FILES = Prepared(delete(f).where(_FILES_OF_DATASET))
_DELETE_STALE = Prepared(
    delete(f)
    .where(_FILES_OF_DATASET, f.c.derived_from != bindparam("location"))
    .returning(f.c.file_name)
)

_INSERT_INGESTION = Prepared(
    insert(i).values({c.name: bindparam(c.name) for c in i.c if not c.primary_key})
)
_INGESTIONS = (
    select(i).where(i.c.atlas_id == _ATLAS, i.c.number > _AFTER).order_by(i.c.number).limit(_LIMIT)
)


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
    row = _FIND_DATASET.one(c, _key(atlas, dataset))
    return None if row is None else DatasetRecord(**row)


def page_of_datasets(
    c: Connection, atlas: AtlasId, *, after: str, limit: int
) -> list[DatasetRecord]:
    """Live datasets after an id, ascending in byte order."""
    values = {"in_atlas": atlas, "after": after, "count": limit}
    return [DatasetRecord(**row) for row in _PAGE_OF_DATASETS.rows(c, values)]


def insert_dataset(c: Connection, atlas: AtlasId, record: DatasetRecord) -> None:
    """Add a live dataset."""
    _INSERT_DATASET.run(c, {"atlas_id": atlas, **dict(record)})


def update_dataset(c: Connection, atlas: AtlasId, record: DatasetRecord) -> None:
    """Let the live dataset be as recorded."""
    values = dict(record)
    _UPDATE_DATASET.run(c, {**values, **_key(atlas, values.pop("dataset_id"))})


def delete_dataset(c: Connection, atlas: AtlasId, dataset: DatasetId) -> None:
    """Let the dataset be live no more. Its history stays."""
    _DELETE_DATASET.run(c, _key(atlas, dataset))


def newest_version(c: Connection, atlas: AtlasId, dataset: DatasetId) -> Placed | None:
    """The newest version that an id ever had, live or not."""
    row = _NEWEST.one(c, _key(atlas, dataset))
    return None if row is None else _placed(row)


def history(c: Connection, atlas: AtlasId, dataset: DatasetId) -> list[Placed]:
    """Every version of an id over all its lives, newest first."""
    return [_placed(row) for row in _HISTORY.rows(c, _key(atlas, dataset))]


def find_version(
    c: Connection, atlas: AtlasId, dataset: DatasetId, version: VersionId
) -> VersionRecord | None:
    """One version of the dataset, of any life."""
    values = {**_key(atlas, dataset), "version": version}
    row = _FIND_VERSION.one(c, values)
    return None if row is None else VersionRecord(**row)


def insert_version(c: Connection, atlas: AtlasId, record: VersionRecord, place: Place) -> None:
    """Add a version to the history."""
    _INSERT_VERSION.run(c, {"atlas_id": atlas, **place._asdict(), **dict(record)})


def append_version(c: Connection, atlas: AtlasId, record: VersionRecord) -> None:
    """Add a version after the newest, in the same life."""
    _APPEND_VERSION.run(c, {**dict(record), **_key(atlas, record.dataset_id)})


def studies(c: Connection, atlas: AtlasId) -> list[StudyId]:
    """Studies that a live dataset names, sorted."""
    return [StudyId(study) for (study,) in _STUDIES.run(c, {"in_atlas": atlas})]


def datasets_in_study(c: Connection, atlas: AtlasId, study: StudyId) -> list[DatasetId]:
    """Live datasets of a study, sorted."""
    found = _IN_STUDY.run(c, {"in_atlas": atlas, "study": study})
    return [DatasetId(dataset) for (dataset,) in found]


def files_of(c: Connection, atlas: AtlasId, dataset: DatasetId) -> list[FileRecord]:
    """Supplementary files by name."""
    return [FileRecord(**row) for row in _FILES.rows(c, _key(atlas, dataset))]


def find_file(c: Connection, atlas: AtlasId, dataset: DatasetId, name: str) -> FileRecord | None:
    """One supplementary file."""
    values = {**_key(atlas, dataset), "named": name}
    row = _FIND_FILE.one(c, values)
    return None if row is None else FileRecord(**row)


def put_file(c: Connection, atlas: AtlasId, record: FileRecord) -> None:
    """Add a supplementary file, or replace the one of this name whole."""
    statement = upsert(f).values(atlas_id=atlas, **dict(record))
    c.execute(
        statement.on_conflict_do_update(index_elements=list(f.primary_key), set_=dict(record))
    )


def delete_file(c: Connection, atlas: AtlasId, dataset: DatasetId, name: str) -> bool:
    """Remove a supplementary file; False where there is none."""
    return _DELETE_FILE.run(c, {**_key(atlas, dataset), "named": name}).rowcount > 0


def delete_files(c: Connection, atlas: AtlasId, dataset: DatasetId) -> None:
    """Remove every supplementary file of a dataset."""
    _DELETE_FILES.run(c, _key(atlas, dataset))


def delete_stale_files(
    c: Connection, atlas: AtlasId, dataset: DatasetId, data_location: str
) -> list[str]:
    """Remove the files that are linked to other data than this; answers their names, sorted."""
    values = {**_key(atlas, dataset), "location": data_location}
    return sorted(name for (name,) in _DELETE_STALE.run(c, values))


def insert_ingestion(c: Connection, atlas: AtlasId, entry: NewIngestion) -> None:
    """Queue an ingestion."""
    values = {**entry._asdict(), "atlas_id": atlas, "params": json.dumps(entry.params)}
    _INSERT_INGESTION.run(c, values)


def page_of_ingestions(
    c: Connection, atlas: AtlasId, only: IngestionFilter, *, after: int, limit: int
) -> list[tuple[int, IngestionRecord]]:
    """Ingestions after a number, oldest first, each with its number."""
    query = _INGESTIONS
    if only.run_id is not None:
        query = query.where(i.c.run_id == only.run_id)
    if only.dataset_id is not None:
        query = query.where(i.c.dataset_id == only.dataset_id)
    rows = c.execute(query, {"in_atlas": atlas, "after": after, "count": limit}).mappings()
    return [(row["number"], _ingestion(row)) for row in rows]


def _key(atlas: AtlasId, dataset: DatasetId) -> dict[str, str]:
    return {"in_atlas": atlas, "of_dataset": dataset}


def _placed(values: Row) -> Placed:
    place = Place(values.pop("number"), values.pop("life"))
    return Placed(VersionRecord(**values), place)


def _ingestion(row: RowMapping) -> IngestionRecord:
    return IngestionRecord(
        ingestion_id=str(row["number"]),
        dataset_id=row["dataset_id"],
        version_id=row["version_id"],
        run_id=RunId(row["run_id"]),
        params=json.loads(row["params"]),
        at=row["at"],
    )
