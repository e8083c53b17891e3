"""Finds out by reading which steps of an item have happened, answer or not."""

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound
from polly_core.models.catalog import FileRecord, RunId, VersionRecord
from polly_core.models.jsonvalue import digest
from polly_core.models.run import (
    FileTarget,
    Foreign,
    Happened,
    NotHappened,
    Planned,
    Settled,
    StepResult,
    Unseen,
    Wanted,
)
from polly_core.operations.base import versions_after
from polly_core.operations.stepping import (
    ATTACH,
    DATA,
    DATASET,
    DETACH,
    file_location,
    left,
    location_of,
    version_made,
)

Done = tuple[StepResult, ...]


def settle(reader: Reader, planned: Planned, done: Done, run_id: RunId) -> Settled:
    """What has happened; where steps are left, those found done that were not recorded."""
    found: Settled = Happened(version_id=version_made(done), attributed=True)
    now = done
    if DATASET in left(planned, done):
        found = _dataset(reader, planned, done, run_id)
        if not isinstance(found, Happened):
            return found
        now = (*done, StepResult(step=DATASET, version_id=found.version_id))
    if left(planned, now):
        try:
            now = (*now, *_files(reader, planned, now))
        except NotFound:
            return Foreign()
    return NotHappened(done=now[len(done) :]) if left(planned, now) else found


def _dataset(reader: Reader, planned: Planned, done: Done, run_id: RunId) -> Settled:
    if planned.deletes:
        return _deletion(reader, planned, run_id)
    if planned.wanted is not None:
        return _version(reader, planned, planned.wanted, done, run_id)
    if planned.triggers:
        if not reader.capabilities.lists_ingestions:
            return Unseen(
                reason="this service does not show ingestions; it may have been asked for. "
                "Resume with --repeat-unknown to ask again"
            )
        asked = reader.ingestions(run_id, planned.dataset_id)
        return Happened(version_id=None, attributed=True) if asked else NotHappened()
    return _study(reader, planned)


def _study(reader: Reader, planned: Planned) -> Settled:
    assert planned.study is not None
    try:
        record = reader.dataset(planned.dataset_id)
    except NotFound:
        return Foreign()
    if record.study_id == planned.study.study_id:
        return Happened(version_id=None)
    before = planned.seen.study_id if planned.seen else None
    if record.study_id == before:
        return NotHappened()
    return Foreign(reason=f"it was in study {before} when it was planned, now in {record.study_id}")


def _deletion(reader: Reader, planned: Planned, run_id: RunId) -> Settled:
    seen = planned.version_seen
    if reader.capabilities.lists_ingestions and reader.ingestions(run_id, planned.dataset_id):
        return Happened(version_id=None, attributed=True)
    history = reader.versions(planned.dataset_id, include_deleted=True)
    later = versions_after(history, seen)
    if later is None or later:
        return Foreign(versions=tuple(v.version_id for v in later or history[::-1]))
    try:
        reader.dataset(planned.dataset_id)
    except NotFound:
        return Happened(version_id=None)
    return NotHappened()


def _version(
    reader: Reader, planned: Planned, wanted: Wanted, done: Done, run_id: RunId
) -> Settled:
    shows = reader.capabilities.lists_ingestions
    if shows:
        recorded = reader.ingestions(run_id, planned.dataset_id)
        if recorded and recorded[-1].version_id is not None:
            return Happened(version_id=recorded[-1].version_id, attributed=True)
    try:
        history = reader.versions(planned.dataset_id, include_deleted=planned.seen is None)
    except NotFound:
        return Foreign() if planned.seen is not None else NotHappened()
    later = versions_after(history, planned.version_seen)
    if later is None:
        return Foreign(versions=tuple(v.version_id for v in history[::-1]))
    if not later:
        return NotHappened()
    if not shows:
        for position, version in enumerate(later):
            if matches(reader, wanted, version, done):
                between = tuple(v.version_id for v in later[:position])
                return Happened(version_id=version.version_id, between=between)
    # Where the server records ingestions, its record would name our run.
    return Foreign(versions=tuple(v.version_id for v in later))


def matches(reader: Reader, wanted: Wanted, version: VersionRecord, done: Done) -> bool:
    """Whether a version holds exactly what was wanted."""
    location = wanted.data_location or location_of(done, DATA)
    same = (version.data_type, version.data_format, version.data_location) == (
        wanted.data_type,
        wanted.data_format,
        location,
    )
    # The metadata costs a read; most foreign versions already differ above or not at all.
    return same and digest(reader.metadata(version)) == wanted.metadata_digest


def _files(reader: Reader, planned: Planned, done: Done) -> Done:
    """Steps on files that are done and were not recorded."""
    steps = left(planned, done)
    listed = {file.file_name: file for file in reader.files(planned.dataset_id)}
    attached = [
        StepResult(step=ATTACH + file.file_name, location=listed[file.file_name].file_location)
        for file in planned.attach
        if ATTACH + file.file_name in steps and is_attached(file, listed.get(file.file_name), done)
    ]
    detached = [
        StepResult(step=DETACH + name)
        for name in planned.detach
        if DETACH + name in steps and name not in listed
    ]
    return (*attached, *detached)


def is_attached(file: FileTarget, found: FileRecord | None, done: Done) -> bool:
    """Whether the file that is there is ours: its pinned location, tag, format and link."""
    location = file_location(file, done)
    if found is None or location is None:
        return False
    linked = found.derived_from is not None
    there = (found.file_location, found.tag, found.file_format, linked)
    return there == (location, file.tag, file.file_format, file.linked)
