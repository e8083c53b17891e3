"""Three-way comparison since the last copy: what changed here (source), what there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from polly_core.models.catalog import DatasetId, RunId, StudyId, VersionId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import FileState, SourceVersion
from polly_core.operations.sides import Side
from polly_core.planning.diff import diff
from polly_core.planning.values import ABSENT, MaybeJson, shown

BASE_KEY = "@last_copy"
"""Of an item's row: the last copy as JSON. No column of a manifest is called so."""
UNDONE_KEY = "@undone_copy"
"""The same of the newest copy, where it was taken back."""
_SHOWN = 20


class LastCopy(Model):
    """Both sides as the last recorded copy left them. They were equal then."""

    source: SourceVersion
    version_id: VersionId
    """Of the destination."""
    data_location: str | None = None
    """Of the destination."""
    study_id: StudyId | None = None
    files: tuple[FileState, ...] = ()
    """Of the destination, those that came from the source."""

    @property
    def objects(self) -> Mapping[str, str]:
        """Objects of the destination by those of the source that they are copies of."""
        there = {file.file_name: file.file_location for file in self.files}
        found = {
            file.file_location: there[file.file_name]
            for file in self.source.files
            if file.file_name in there
        }
        if self.source.data_location and self.data_location:
            found[self.source.data_location] = self.data_location
        return found


class UndoneCopy(Model):
    """The newest copy, taken back since."""

    made: LastCopy
    run_id: RunId
    """That took it back."""


def last_copy_in(row: JsonObject | None, source_id: DatasetId) -> LastCopy | None:
    """The last copy of this source, where the item's row has one."""
    found = (row or {}).get(BASE_KEY)
    if found is None:
        return None
    last = LastCopy.model_validate(found)
    return last if last.source.dataset_id == source_id else None


def undone_copy_in(row: JsonObject | None, source_id: DatasetId) -> UndoneCopy | None:
    """The newest copy of this source, where it was taken back."""
    found = (row or {}).get(UNDONE_KEY)
    if found is None:
        return None
    undone = UndoneCopy.model_validate(found)
    return undone if undone.made.source.dataset_id == source_id else None


@dataclass(frozen=True, slots=True)
class Then:
    """One side as the last copy left it."""

    dataset_id: DatasetId
    version_id: VersionId
    study_id: StudyId | None
    files: Mapping[str, FileState]


def here_then(last: LastCopy) -> Then:
    """The source at the last copy."""
    source = last.source
    files = {file.file_name: file for file in source.files}
    return Then(source.dataset_id, source.version_id, last.study_id, files)


def there_then(last: LastCopy, dataset_id: DatasetId) -> Then:
    """The destination after the last copy."""
    files = {file.file_name: file for file in last.files}
    return Then(dataset_id, last.version_id, last.study_id, files)


Changes = Mapping[str, MaybeJson]
"""What stands now in each field that changed: a metadata path, or ``@`` and what it is."""


def changes(side: Side, then: Then, *, names: set[str]) -> Changes:
    """What is different from then.

    Args:
        names: files that count; others are not the copy's business.
    """
    found: dict[str, MaybeJson] = {}
    if side.record.version_id != then.version_id:
        found.update(_versioned(side, then))
    if side.record.study_id != then.study_id:
        found["@study"] = side.record.study_id
    for name in sorted(names):
        now, before = side.files.get(name), then.files.get(name)
        if now != before:
            found[f"@file {name}"] = now.file_location if now else ABSENT
    return found


def _versioned(side: Side, then: Then) -> Iterator[tuple[str, MaybeJson]]:
    """A newer version need not differ: somebody may have taken a change back."""
    before = side.reader.version(then.dataset_id, then.version_id)
    for op in diff(side.reader.metadata(before), side.metadata):
        yield op.path, ABSENT if op.op == "remove" else op.value
    record = side.record
    for name, was, now in (
        ("@data_type", before.data_type, record.data_type),
        ("@data_format", before.data_format, record.data_format),
        ("@data", before.data_location, record.data_location),
    ):
        if was != now:
            yield name, now


def disputed(here: Changes, there: Changes) -> str:
    """What changed on both sides, with what stands there now, and what on one of them."""
    both = [
        f"{name} ({shown(here[name])} here, {shown(there[name])} there)"
        for name in sorted(here.keys() & there.keys())
    ]
    groups = {
        "on both sides": both,
        "only here": sorted(here.keys() - there.keys()),
        "only there": sorted(there.keys() - here.keys()),
    }
    return "; ".join(f"{where}: {_listed(names)}" for where, names in groups.items() if names)


def differing(source: Side, target: Side) -> str:
    """What is not the same on both sides, with what stands there."""
    ours, theirs = source.record, target.record
    found = [
        f"{op.path} ({shown(ABSENT if op.op == 'remove' else op.value)} here, "
        f"{shown(ABSENT if op.op == 'add' else op.before)} there)"
        for op in diff(target.metadata, source.metadata)
    ]
    for name, here, there in (
        ("@data_type", ours.data_type, theirs.data_type),
        ("@data_format", ours.data_format, theirs.data_format),
        ("@study", ours.study_id, theirs.study_id),
    ):
        if here != there:
            found.append(f"{name} ({shown(here)} here, {shown(there)} there)")
    return _listed(found) or "data or files"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
