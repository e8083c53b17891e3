"""A dataset as it stands on one side of a copy."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound, ObjectMissing
from polly_core.models.catalog import DatasetId, DatasetRecord, FileRecord, ObjectStat, VersionId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import FileState
from polly_core.operations.drifting import state_of


@dataclass(frozen=True)
class Side:
    """A live dataset with its files; its metadata is read when it is asked for."""

    reader: Reader
    record: DatasetRecord
    attached: Mapping[str, FileRecord]
    """By name."""

    @cached_property
    def files(self) -> Mapping[str, FileState]:
        """The same, as they can be compared and put back."""
        return {name: state_of(file) for name, file in self.attached.items()}

    @cached_property
    def metadata(self) -> JsonObject:
        return self.reader.metadata(self.record)

    def stat(self, location: str) -> ObjectStat | None:
        """An object of this side; None where it is gone."""
        try:
            return self.reader.stat(location)
        except ObjectMissing:
            return None


def side_of(reader: Reader, record: DatasetRecord, *, files: bool = True) -> Side:
    """A dataset with its files, or as if it had none."""
    found = reader.files(record.dataset_id) if files else []
    return Side(reader, record, {file.file_name: file for file in found})


def last_ended(reader: Reader, dataset_id: DatasetId) -> VersionId | None:
    """The newest version of the earlier lives of a dataset that is not live; None had it none."""
    try:
        history = reader.versions(dataset_id, include_deleted=True)
    except NotFound:
        return None
    return history[0].version_id if history else None
