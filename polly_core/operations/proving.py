"""Reads what must be read to know that what was promised is there."""

from collections.abc import Iterator

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound, ObjectMissing
from polly_core.models.catalog import VersionId, VersionRecord
from polly_core.models.run import FileTarget, Wanted
from polly_core.operations.base import Verified, Written, versions_after
from polly_core.operations.settling import is_attached, matches


def verify(reader: Reader, written: Written, *, full: bool) -> Verified:
    """Whether what was promised is there.

    Args:
        full: read content back as well: metadata, and that data and files are in the store.
    """
    planned = written.planned
    if planned.deletes:
        return Verified(problems=tuple(_not_deleted(reader, written)))
    if planned.wanted is not None and written.version is not None:
        found = _versioned(reader, written, planned.wanted, written.version, full=full)
    else:
        found = Verified(problems=tuple(_not_there(reader, written)))
    if not planned.attach and not planned.detach:
        return found
    problems = (*found.problems, *_files(reader, written, full=full))
    return Verified(problems=problems, between=found.between, repeated=found.repeated)


def _versioned(
    reader: Reader, written: Written, wanted: Wanted, version: VersionId, *, full: bool
) -> Verified:
    planned = written.planned
    # Somebody may have deleted the dataset since; the promise was about its history.
    history = reader.versions(planned.dataset_id, include_deleted=True)
    seen = planned.version_seen
    later = versions_after(history, seen) or []
    ids = [v.version_id for v in later]
    if version not in ids:
        where = f" after {seen}" if seen else ""
        return Verified(problems=(f"version {version} is not in the history{where}",))
    ours = ids.index(version)
    problems: list[str] = []
    if full and not matches(reader, wanted, later[ours], written.done):
        problems.append(f"version {version} does not hold what was planned")
    if full and planned.data is not None:
        problems.extend(_data_missing(reader, later[ours]))
    twins = later[ours + 1 :] if written.resent else []
    repeated = tuple(v.version_id for v in twins if matches(reader, wanted, v, written.done))
    return Verified(problems=tuple(problems), between=tuple(ids[:ours]), repeated=repeated)


def _data_missing(reader: Reader, version: VersionRecord) -> Iterator[str]:
    try:
        reader.stat(version.data_location)
    except ObjectMissing as error:
        yield f"the data of version {version.version_id} is not in the store: {error}"


def _not_deleted(reader: Reader, written: Written) -> Iterator[str]:
    planned = written.planned
    history = reader.versions(planned.dataset_id, include_deleted=True)
    if versions_after(history, planned.version_seen):
        # It lives again, or did: somebody else's doing, after ours.
        return
    try:
        record = reader.dataset(planned.dataset_id)
    except NotFound:
        return
    yield f"it is still there, at version {record.version_id}"


def _not_there(reader: Reader, written: Written) -> Iterator[str]:
    """Problems of what has no versions: the study."""
    planned = written.planned
    if planned.study is None:
        return
    record = reader.dataset(planned.dataset_id)
    if record.study_id != planned.study.study_id:
        yield f"it is in study {record.study_id}, expected {planned.study.study_id}"


def _files(reader: Reader, written: Written, *, full: bool) -> Iterator[str]:
    planned = written.planned
    try:
        listed = {file.file_name: file for file in reader.files(planned.dataset_id)}
    except NotFound:
        # Deleted since by somebody else, and its files with it.
        return
    for file in planned.attach:
        found = listed.get(file.file_name)
        if not is_attached(file, found, written.done):
            at = found.file_location if found else "nothing"
            yield f"file {file.file_name!r} is not the one attached, found {at}"
        elif full and found is not None:
            yield from _object_problems(reader, file, found.file_location)
    for name in planned.detach:
        if name in listed:
            yield f"file {name!r} is there again"


def _object_problems(reader: Reader, file: FileTarget, location: str) -> Iterator[str]:
    try:
        stat = reader.stat(location)
    except ObjectMissing as error:
        yield f"file {file.file_name!r} is not in the store: {error}"
        return
    expected = file.source.size if file.source else None
    if expected is not None and stat.size != expected:
        yield f"file {file.file_name!r} has {stat.size} bytes, expected {expected}"
