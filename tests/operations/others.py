"""What other people do to datasets meanwhile, and whether it is still there or was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from polly_core.errors import NotFound
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetChange, DatasetId, DatasetRecord, VersionId
from polly_core.models.run import NOT_WELL, Planned
from polly_core.testing.fake import FakeCatalog


class Kind(StrEnum):
    """What somebody does."""

    FIELD = "field"
    """Adds a field to the metadata."""
    ORGANISM = "organism"
    """Changes a field that runs change."""
    DATA = "data"
    STUDY = "study"
    FILE = "file"
    """Attaches a file of its own, linked to the data."""
    REPLACE = "replace"
    """Attaches another file under a name that runs use."""
    DETACH = "detach"
    DELETE = "delete"
    REVIVE = "revive"
    """Deletes it where it lives, and makes another of that id."""


@dataclass(frozen=True)
class Edit:
    """One thing that somebody did."""

    dataset_id: DatasetId
    kind: Kind
    value: str
    """A mark of its own: the field's value, the study, the location, the name of a file."""
    version: VersionId | None = None
    """That it made."""

    def __str__(self) -> str:
        return f"{self.kind} {self.value!r} of {self.dataset_id} ({self.version})"

    def stands(self, fake: FakeCatalog) -> bool:  # noqa: PLR0911 - one for each kind
        """Whether it is still there."""
        try:
            record = fake.dataset(self.dataset_id)
        except NotFound:
            return self.kind in {Kind.DELETE, Kind.DETACH}
        files = {file.file_name: file.file_location for file in fake.files(self.dataset_id)}
        match self.kind:
            case Kind.FIELD | Kind.REVIVE:
                return fake.metadata(record).get(self.value) is True
            case Kind.ORGANISM:
                return fake.metadata(record).get("organism") == self.value
            case Kind.DATA:
                return record.data_location == self.value
            case Kind.STUDY:
                return record.study_id == self.value
            case Kind.FILE | Kind.REPLACE:
                return self.value in files.values()
            case Kind.DETACH:
                return self.value not in files
            case Kind.DELETE:
                return False

    def seen_by(self, planned: Planned, fake: FakeCatalog) -> bool:
        """Whether the plan knew it, so that it was taken away on purpose and is kept for undo."""
        seen = planned.seen
        match self.kind:
            case Kind.DELETE:
                return seen is None
            case Kind.STUDY:
                return seen is not None and seen.study_id == self.value
            case Kind.FILE | Kind.REPLACE:
                return any(file.file_location == self.value for file in planned.files_before)
            case Kind.DETACH:
                return all(file.file_name != self.value for file in planned.files_before)
            case _:
                at = planned.version_seen
                ids = [
                    one.version_id for one in fake.versions(self.dataset_id, include_deleted=True)
                ]
                return at is not None and ids.index(at) <= ids.index(self.version or at)


def told(edit: Edit, rows: Sequence[ItemRow], fake: FakeCatalog) -> bool:
    """Whether a run knew of an edit that it took away, or says that it did not end well there."""
    own = [row for row in rows if row.dataset_id == edit.dataset_id]
    return any(
        (row.state in NOT_WELL and row.reasons)
        or (row.planned is not None and edit.seen_by(row.planned, fake))
        for row in own
    )


def do(  # noqa: PLR0911 - one for each kind
    fake: FakeCatalog, dataset_id: DatasetId, kind: Kind, number: int
) -> Edit | None:
    """Somebody does it; None where it cannot be done."""
    mark = f"theirs{number}"
    try:
        record = fake.dataset(dataset_id)
    except NotFound:
        return _revived(fake, dataset_id, mark) if kind is Kind.REVIVE else None
    match kind:
        case Kind.FIELD | Kind.ORGANISM | Kind.DATA:
            return _versioned(fake, record, kind, mark)
        case Kind.STUDY:
            fake.edit(dataset_id, DatasetChange(study_id=mark))
            return Edit(dataset_id, kind, mark)
        case Kind.FILE | Kind.REPLACE:
            name = f"{mark}.txt" if kind is Kind.FILE else f"{dataset_id}.txt"
            made = fake.add_file(dataset_id, name, linked=kind is Kind.FILE, content=mark.encode())
            return Edit(dataset_id, kind, made.file_location)
        case Kind.DETACH:
            names = [file.file_name for file in fake.files(dataset_id)]
            if not names:
                return None
            fake.remove_file(dataset_id, names[0])
            return Edit(dataset_id, kind, names[0])
        case Kind.DELETE:
            fake.remove(dataset_id)
            return Edit(dataset_id, kind, mark)
        case Kind.REVIVE:
            fake.remove(dataset_id)
            return _revived(fake, dataset_id, mark)


def _revived(fake: FakeCatalog, dataset_id: DatasetId, mark: str) -> Edit:
    made = fake.add(dataset_id, {mark: True, "organism": mark})
    return Edit(dataset_id, Kind.REVIVE, mark, made.version_id)


def _versioned(fake: FakeCatalog, record: DatasetRecord, kind: Kind, mark: str) -> Edit:
    metadata = fake.metadata(record)
    if kind is Kind.FIELD:
        made = fake.edit(record.dataset_id, DatasetChange(metadata={**metadata, mark: True}))
    elif kind is Kind.ORGANISM:
        made = fake.edit(record.dataset_id, DatasetChange(metadata={**metadata, "organism": mark}))
    else:
        location = f"{record.data_location.partition('?')[0]}.{mark}?versionId=1"
        made = fake.edit(record.dataset_id, DatasetChange(data_s3_uri=location))
        mark = made.data_location
    return Edit(record.dataset_id, kind, mark, made.version_id)
