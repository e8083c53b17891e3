"""What new data does to a dataset that is there, and to the files that are linked to it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from polly_core.models.catalog import DatasetRecord, FileRecord
from polly_core.models.run import ObjectSource
from polly_core.operations.incoming import IncomingData


@dataclass(frozen=True, slots=True)
class NewData:
    """The data that a dataset is to have."""

    data_format: str
    location: str | None
    """None until it is uploaded."""
    source: ObjectSource | None
    """To be uploaded; None where it is in the atlas already."""
    moves: bool
    """Its location becomes another one."""
    differs: bool
    """Location or format become others."""

    @classmethod
    def alone(cls, data: IncomingData) -> "NewData":
        """Where there was none."""
        found = data.object
        return cls(data.data_format, found.location, found.source, moves=True, differs=True)

    @classmethod
    def standing(cls, record: DatasetRecord) -> "NewData":
        """What it has, left as it is."""
        return cls(record.data_format, record.data_location, None, moves=False, differs=False)

    @classmethod
    def onto(cls, record: DatasetRecord, data: IncomingData) -> "NewData":
        """In the place of what the dataset has; the same content is not put there again."""
        found = data.object
        if not found.same:
            return cls.alone(data)
        differs = data.data_format != record.data_format
        return cls(data.data_format, record.data_location, None, moves=False, differs=differs)

    def effects(self, lost: Mapping[str, FileRecord], attached: Collection[str]) -> tuple[str, ...]:
        """What becomes of linked files, for the reader of the plan."""
        return tuple(
            f"file {name!r} is linked to the data that is replaced: "
            + ("it is attached again" if name in attached else "the service deletes it")
            for name in sorted(lost)
        )


def files_lost(files: Iterable[FileRecord], data: NewData) -> dict[str, FileRecord]:
    """The files that go with the data that is replaced, by name."""
    if not data.moves:
        return {}
    return {file.file_name: file for file in files if file.derived_from is not None}
