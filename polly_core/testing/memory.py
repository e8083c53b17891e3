"""One atlas in memory, by the rules of the protocol (wire.md §4, §6). Not thread-safe by itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from polly_core.catalog.data import check_file_name
from polly_core.catalog.envelopes import check_id
from polly_core.errors import (
    BadRequest,
    Conflict,
    InvalidInput,
    NotFound,
    ObjectMissing,
    Unprocessable,
)
from polly_core.models.catalog import (
    DatasetChange,
    DatasetId,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    NewDataset,
    NewFile,
    StudyId,
    VersionId,
    VersionRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import PRIORITIES
from polly_core.testing.objects import BUCKET, MemoryObjects

FIRST_MOMENT = 1_700_000_000_000
_VERSIONED = frozenset({"data_type", "metadata", "data_s3_uri", "data_format"})


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

    def __init__(
        self, atlas_id: str, *, enforce_versions: bool, objects: MemoryObjects, number: int = 0
    ) -> None:
        self.enforce_versions = enforce_versions
        self.ingestions: list[IngestionRecord] = []
        self.objects = objects
        self.root = f"s3://{BUCKET}/{atlas_id}/"
        self._number = number
        self._lives: dict[DatasetId, Life] = {}
        self._metadata: dict[str, str] = {}
        self._count = 0

    def create(
        self, dataset_id: DatasetId, new: NewDataset, stamp: WriteStamp | None = None
    ) -> DatasetRecord:
        """A POST, stamped or by anybody. Raises ``Conflict`` where the dataset is alive already."""
        _require(check_id, dataset_id, "dataset_id")
        life = self._lives.get(dataset_id, Life())
        if life.record is not None:
            raise Conflict("Conflict", f"Dataset {dataset_id!r} already exists", status=409)
        change = DatasetChange(
            data_type=new.data_type,
            metadata=new.metadata,
            data_s3_uri=self._pin(new.data_s3_uri),
            data_format=new.data_format,
        )
        version = self._new_version(dataset_id, None, change)
        life.born = len(life.versions)
        life.versions.append(version)
        life.record = _record(version, new.study_id, created=version.created_at)
        self._lives[dataset_id] = life
        if stamp is not None:
            self._record_ingestion(dataset_id, version.version_id, stamp)
        return life.record

    def delete(self, dataset_id: DatasetId, stamp: WriteStamp | None = None) -> None:
        """Softly: versions stay, files and study are gone. Raises ``NotFound``, ``Conflict``."""
        life = self.alive(dataset_id)
        if stamp is not None:
            self._expect(self.record(dataset_id), stamp)
            self._record_ingestion(dataset_id, None, stamp)
        life.record = None
        life.files.clear()
        life.born = len(life.versions)

    def attach(self, dataset_id: DatasetId, new: NewFile) -> FileRecord:
        """Attach or replace a file. Raises ``NotFound``, ``Unprocessable``, ``Conflict``."""
        _require(check_file_name, new.file_name)
        life = self.alive(dataset_id)
        file = FileRecord(
            dataset_id=dataset_id,
            file_name=new.file_name,
            file_format=new.file_format,
            file_location=self._pin(new.file_s3_uri),
            tag=new.tag,
            derived_from=self._link(life, new.source_version_id),
            created_at=self._tick(),
        )
        life.files[new.file_name] = file
        return file

    def detach(self, dataset_id: DatasetId, file_name: str) -> None:
        """Raises ``NotFound`` for a file that is not there."""
        if self.alive(dataset_id).files.pop(file_name, None) is None:
            raise _missing(f"File {file_name!r} of {dataset_id!r}")

    def write(
        self, dataset_id: DatasetId, change: DatasetChange, stamp: WriteStamp
    ) -> DatasetRecord:
        """A stamped PATCH. Raises ``NotFound`` or, with a stale expected version, ``Conflict``."""
        self._expect(self.record(dataset_id), stamp)
        record = self.change(dataset_id, change)
        self._record_ingestion(dataset_id, record.version_id, stamp)
        return record

    def change(self, dataset_id: DatasetId, change: DatasetChange) -> DatasetRecord:
        """A PATCH by anybody. Raises ``NotFound``."""
        life, current = self.alive(dataset_id), self.record(dataset_id)
        given = change.model_fields_set
        nulls = sorted(n for n in given & _VERSIONED if getattr(change, n) is None)
        if nulls:
            raise BadRequest("Bad Request", f"{', '.join(nulls)} may not be null", status=400)
        if change.data_s3_uri is not None:
            change = change.model_copy(update={"data_s3_uri": self._pin(change.data_s3_uri)})
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
        text = self._metadata.get(location)
        if text is None:
            raise ObjectMissing(f"no such object: {location}")
        found: JsonObject = json.loads(text)
        return found

    def _new_version(
        self, dataset_id: DatasetId, last: VersionRecord | None, change: DatasetChange
    ) -> VersionRecord:
        moment = self._tick()
        version_id = VersionId(f"{self._number:08d}-0000-4000-8000-{self._count:012d}")
        location = last.metadata_location if last else ""
        if change.metadata is not None:
            where = f"{self.root}v2/{dataset_id}/.metadata/{version_id}.json.gz"
            location = f"{where}?versionId={moment}"
            self._metadata[location] = as_json(change.metadata)
        return VersionRecord(
            dataset_id=dataset_id,
            version_id=version_id,
            data_type=change.data_type or (last.data_type if last else ""),
            data_format=change.data_format or (last.data_format if last else ""),
            data_location=change.data_s3_uri or (last.data_location if last else ""),
            metadata_location=location,
            created_at=moment,
        )

    def _expect(self, current: DatasetRecord, stamp: WriteStamp) -> None:
        if stamp.priority not in {None, *PRIORITIES}:
            raise BadRequest("Bad Request", f"priority {stamp.priority!r}", status=400)
        expected = stamp.expected_version_id
        if self.enforce_versions and expected not in {None, current.version_id}:
            raise Conflict(
                "Conflict",
                f"Dataset {current.dataset_id!r} is at version {current.version_id}, "
                f"expected {expected}",
                status=409,
            )

    def _record_ingestion(
        self, dataset_id: DatasetId, version_id: VersionId | None, stamp: WriteStamp
    ) -> None:
        params: JsonObject = {"ingestion_run_id": stamp.run_id, **stamp.flags}
        if stamp.priority is not None:
            params["priority"] = stamp.priority
        self.ingestions.append(
            IngestionRecord(
                ingestion_id=str(len(self.ingestions) + 1),
                dataset_id=dataset_id,
                version_id=version_id,
                run_id=stamp.run_id,
                params=params,
                at=self._tick(),
            )
        )

    def _link(self, life: Life, source: VersionId | None) -> str | None:
        """The data that a file is derived from."""
        if source is None:
            return None
        found = next((v for v in life.versions if v.version_id == source), None)
        if found is None:
            raise Unprocessable("Unprocessable entity", f"no version {source!r}", status=422)
        if found.data_location != life.versions[-1].data_location:
            raise Conflict("Conflict", f"the data changed since version {source!r}", status=409)
        return found.data_location

    def _pin(self, location: str) -> str:
        """Raises ``Unprocessable`` for an object that is not in this atlas."""
        try:
            pinned = self.objects.pin(location)
        except (InvalidInput, ObjectMissing) as error:
            raise Unprocessable("Unprocessable entity", str(error), status=422) from error
        if not pinned.startswith(self.root):
            detail = f"{location} is not in the atlas ({self.root})"
            raise Unprocessable("Unprocessable entity", detail, status=422)
        return pinned

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


def _require(check: Callable[..., None], *arguments: str) -> None:
    """Raises ``BadRequest`` for what the client refuses to build, but a caller may send."""
    try:
        check(*arguments)
    except InvalidInput as error:
        raise BadRequest("Bad Request", str(error), status=400) from error


def _missing(what: str) -> NotFound:
    return NotFound("Resource not found", f"{what} does not exist", status=404)
