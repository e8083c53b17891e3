"""One atlas in memory, by the rules of the protocol (wire.md §4, §6). Not thread-safe by itself."""

import json
from dataclasses import dataclass, field

from polly_core.errors import BadRequest, Conflict, InvalidInput, NotFound, ObjectMissing
from polly_core.models.catalog import (
    DatasetChange,
    DatasetId,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    StudyId,
    VersionId,
    VersionRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject

FIRST_MOMENT = 1_700_000_000_000
_VERSIONED = frozenset({"data_type", "metadata", "data_s3_uri", "data_format"})


@dataclass(frozen=True, slots=True)
class NewDataset:
    """What a test wants to be there."""

    dataset_id: DatasetId
    metadata: JsonObject
    data_type: str = "Bulk RNAseq"
    data_format: str = "gct"
    data_location: str | None = None
    study_id: StudyId | None = None


@dataclass(slots=True)
class Life:
    """One dataset id: its present state, or none, and every version it ever had."""

    record: DatasetRecord | None = None
    versions: list[VersionRecord] = field(default_factory=list)
    """Oldest first, over all lives."""
    born: int = 0
    """Where in ``versions`` the present life begins."""
    files: dict[str, FileRecord] = field(default_factory=dict)


class MemoryAtlas:
    """Datasets, their history, files and studies. Ids and times are counters."""

    def __init__(self, atlas_id: str, *, enforce_versions: bool) -> None:
        self.enforce_versions = enforce_versions
        self.ingestions: list[IngestionRecord] = []
        self._root = f"s3://fake/{atlas_id}/v2"
        self._lives: dict[DatasetId, Life] = {}
        self._objects: dict[str, str] = {}
        self._count = 0

    def add(self, new: NewDataset) -> DatasetRecord:
        """Raises ``Conflict`` where the dataset is alive already."""
        key = new.dataset_id
        life = self._lives.setdefault(key, Life())
        if life.record is not None:
            raise Conflict("Conflict", f"Dataset {key!r} already exists", status=409)
        where = f"{self._root}/{key}/{key}.{new.data_format}?versionId={self._count + 1}"
        change = DatasetChange(
            data_type=new.data_type,
            metadata=new.metadata,
            data_s3_uri=new.data_location or where,
            data_format=new.data_format,
        )
        version = self._new_version(key, None, change)
        life.born = len(life.versions)
        life.versions.append(version)
        life.record = _record(version, new.study_id, created=version.created_at)
        return life.record

    def remove(self, dataset_id: DatasetId) -> None:
        """Softly: versions stay, files and study are gone. Raises ``NotFound``."""
        life = self.alive(dataset_id)
        life.record = None
        life.files.clear()
        life.born = len(life.versions)

    def attach(
        self, dataset_id: DatasetId, file_name: str, *, tag: str | None, linked: bool
    ) -> FileRecord:
        """Attach or replace a file. Raises ``NotFound``."""
        life = self.alive(dataset_id)
        moment = self._tick()
        file = FileRecord(
            dataset_id=dataset_id,
            file_name=file_name,
            file_format=file_name.rpartition(".")[2],
            file_location=f"{self._root}/{dataset_id}/.sfiles/{file_name}?versionId={moment}",
            tag=tag,
            derived_from=life.versions[-1].data_location if linked else None,
            created_at=moment,
        )
        life.files[file_name] = file
        return file

    def write(
        self, dataset_id: DatasetId, change: DatasetChange, stamp: WriteStamp
    ) -> DatasetRecord:
        """A stamped PATCH. Raises ``NotFound`` or, with a stale expected version, ``Conflict``."""
        current = self.record(dataset_id)
        expected = stamp.expected_version_id
        if self.enforce_versions and expected not in {None, current.version_id}:
            raise Conflict(
                "Conflict",
                f"Dataset {dataset_id!r} is at version {current.version_id}, expected {expected}",
                status=409,
            )
        record = self.change(dataset_id, change)
        params: JsonObject = {"ingestion_run_id": stamp.run_id}
        if stamp.priority is not None:
            params["priority"] = stamp.priority
        self.ingestions.append(
            IngestionRecord(
                ingestion_id=str(len(self.ingestions) + 1),
                dataset_id=dataset_id,
                version_id=record.version_id,
                run_id=stamp.run_id,
                params=params,
                at=self._tick(),
            )
        )
        return record

    def change(self, dataset_id: DatasetId, change: DatasetChange) -> DatasetRecord:
        """A PATCH by anybody. Raises ``NotFound``."""
        life, current = self.alive(dataset_id), self.record(dataset_id)
        given = change.model_fields_set
        nulls = sorted(n for n in given & _VERSIONED if getattr(change, n) is None)
        if nulls:
            raise BadRequest("Bad Request", f"{', '.join(nulls)} may not be null", status=400)
        study = change.study_id if "study_id" in given else current.study_id
        if given & _VERSIONED:
            version = self._new_version(dataset_id, life.versions[-1], change)
            life.versions.append(version)
            life.record = _record(version, study, created=current.created_at)
            life.files = {
                name: file
                for name, file in life.files.items()
                if file.derived_from in {None, version.data_location}
            }
        elif given:
            changed = {"study_id": study, "last_modified_at": self._tick()}
            life.record = current.model_copy(update=changed)
        return self.record(dataset_id)

    def alive(self, dataset_id: DatasetId) -> Life:
        """Raises ``NotFound`` for a dataset that is deleted or never was."""
        life = self._lives.get(dataset_id)
        if life is None or life.record is None:
            raise _missing(f"Dataset {dataset_id!r}")
        return life

    def record(self, dataset_id: DatasetId) -> DatasetRecord:
        """Raises ``NotFound``."""
        record = self.alive(dataset_id).record
        assert record is not None
        return record

    def living(self) -> list[DatasetRecord]:
        """Every live dataset, ascending by id."""
        records = (life.record for _, life in sorted(self._lives.items()))
        return [record for record in records if record is not None]

    def versions(self, dataset_id: DatasetId, *, include_deleted: bool) -> list[VersionRecord]:
        """Newest first. Raises ``NotFound``."""
        life = self._lives.get(dataset_id)
        if life is None or (life.record is None and not include_deleted):
            raise _missing(f"Dataset {dataset_id!r}")
        return life.versions[0 if include_deleted else life.born :][::-1]

    def version(self, dataset_id: DatasetId, version_id: VersionId) -> VersionRecord:
        """Of any life. Raises ``NotFound``."""
        life = self._lives.get(dataset_id, Life())
        for version in life.versions:
            if version.version_id == version_id:
                return version
        raise _missing(f"Version {version_id!r} of {dataset_id!r}")

    def study(self, study_id: StudyId) -> list[DatasetId]:
        """Raises ``NotFound`` for a study that no live dataset names."""
        found = [record.dataset_id for record in self.living() if record.study_id == study_id]
        if not found:
            raise _missing(f"Study {study_id!r}")
        return found

    def metadata(self, location: str) -> JsonObject:
        """Raises ``ObjectMissing``."""
        text = self._objects.get(location)
        if text is None:
            raise ObjectMissing(f"no such object: {location}")
        found: JsonObject = json.loads(text)
        return found

    def _new_version(
        self, dataset_id: DatasetId, last: VersionRecord | None, change: DatasetChange
    ) -> VersionRecord:
        moment = self._tick()
        version_id = VersionId(f"00000000-0000-4000-8000-{moment - FIRST_MOMENT:012d}")
        location = last.metadata_location if last else ""
        if change.metadata is not None:
            where = f"{self._root}/{dataset_id}/.metadata/{version_id}.json.gz"
            location = f"{where}?versionId={moment}"
            self._objects[location] = as_json(change.metadata)
        return VersionRecord(
            dataset_id=dataset_id,
            version_id=version_id,
            data_type=change.data_type or (last.data_type if last else ""),
            data_format=change.data_format or (last.data_format if last else ""),
            data_location=change.data_s3_uri or (last.data_location if last else ""),
            metadata_location=location,
            created_at=moment,
        )

    def _tick(self) -> int:
        self._count += 1
        return FIRST_MOMENT + self._count


def as_json(metadata: JsonObject | None) -> str:
    """Raises ``InvalidInput`` for what is not JSON, as the real client does before sending."""
    try:
        return json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the values to be sent are not JSON ({error})") from error


def _record(version: VersionRecord, study: StudyId | None, *, created: int | None) -> DatasetRecord:
    return DatasetRecord(
        **version.model_dump(exclude={"created_at"}),
        study_id=study,
        last_modified_at=version.created_at,
        created_at=created,
    )


def _missing(what: str) -> NotFound:
    return NotFound("Resource not found", f"{what} does not exist", status=404)
