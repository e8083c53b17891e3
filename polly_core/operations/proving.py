"""Reads what must be read to know that what was promised is there."""

from collections.abc import Iterator

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound
from polly_core.models.catalog import FileRecord, VersionId
from polly_core.models.run import FileTarget, Wanted
from polly_core.operations.base import Verified, Written, versions_after
from polly_core.operations.contents import object_problems
from polly_core.operations.settling import is_attached, matches

# What has no history of its own may have been changed by anybody, and nobody can tell.
UNTOLD = "; somebody may have changed it since, which has no history"


def verify(reader: Reader, written: Written, *, full: bool) -> Verified:
    """Whether what was promised is there. What others did later, and shows in the history, is
    no problem.

    Args:
        full: read content back as well: metadata, and that data and files are in the store with
            the size and the checksum that were planned.
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
    before = planned.seen.data_location if planned.seen else None
    if full and later[ours].data_location != before:
        what = f"the data of version {version}"
        problems.extend(object_problems(reader, what, later[ours].data_location, planned.data))
    twins = later[ours + 1 :] if written.resent else []
    repeated = tuple(v.version_id for v in twins if matches(reader, wanted, v, written.done))
    return Verified(problems=tuple(problems), between=tuple(ids[:ours]), repeated=repeated)


def _not_deleted(reader: Reader, written: Written) -> Iterator[str]:
    planned = written.planned
    history = reader.versions(planned.dataset_id, include_deleted=True)
    later = versions_after(history, planned.version_seen) or []
    try:
        record = reader.dataset(planned.dataset_id)
    except NotFound:
        yield from _deleted_with_it(reader, [version.version_id for version in later])
        return
    if not later:
        yield f"it is still there, at version {record.version_id}"
        return
    # It lives again: somebody else's doing, after ours.
    present = {version.version_id for version in reader.versions(planned.dataset_id)}
    past = [version.version_id for version in later if version.version_id not in present]
    yield from _deleted_with_it(reader, past)


def _deleted_with_it(reader: Reader, versions: list[VersionId]) -> Iterator[str]:
    """Versions of somebody else that a deletion without preconditions may have taken away."""
    if versions and not reader.capabilities.expects_version:
        yield (
            f"version {', '.join(versions)} was written by someone else after the one planned; it "
            "is deleted as well, by this run or since. It is in the history: roll back to it to "
            "bring it back"
        )


def _not_there(reader: Reader, written: Written) -> Iterator[str]:
    """Problems of what makes no version: the study, an ingestion."""
    planned = written.planned
    if planned.triggers and written.run_id and reader.capabilities.lists_ingestions:
        if not reader.ingestions(written.run_id, planned.dataset_id):
            yield "the service has no record of the ingestion that was asked for"
        return
    if planned.study is None:
        return
    try:
        record = reader.dataset(planned.dataset_id)
    except NotFound:
        # Deleted since by somebody else, and its study with it.
        return
    if record.study_id != planned.study.study_id:
        yield f"it is in study {record.study_id}, expected {planned.study.study_id}{UNTOLD}"


def _files(reader: Reader, written: Written, *, full: bool) -> Iterator[str]:
    planned = written.planned
    try:
        listed = {file.file_name: file for file in reader.files(planned.dataset_id)}
    except NotFound:
        # Deleted since by somebody else, and its files with it.
        return
    wrong = list(_misplaced(written, listed))
    replaced = _data_replaced(reader, written) if wrong else False
    if replaced is None:
        # It was deleted and made anew: other files belong to that life.
        return
    for file, problem in wrong:
        gone = file is not None and file.file_name not in listed
        # The service drops linked files with the data; that the data changed is in the history.
        if not (gone and file is not None and file.linked and replaced):
            yield problem + UNTOLD
    if full:
        for file in planned.attach:
            found = listed.get(file.file_name)
            if found is not None and is_attached(file, found, written.done):
                what = f"file {file.file_name!r}"
                yield from object_problems(reader, what, found.file_location, file.source)


def _misplaced(
    written: Written, listed: dict[str, FileRecord]
) -> Iterator[tuple[FileTarget | None, str]]:
    """Files that are not as they were left, each with what was found."""
    for file in written.planned.attach:
        found = listed.get(file.file_name)
        if not is_attached(file, found, written.done):
            at = found.file_location if found else "nothing"
            yield file, f"file {file.file_name!r} is not the one attached, found {at}"
    for name in written.planned.detach:
        if name in listed:
            yield None, f"file {name!r} is there again"


def _data_replaced(reader: Reader, written: Written) -> bool | None:
    """Whether somebody has replaced the data since; None in a later life of the id."""
    left_at = written.version or written.planned.version_seen
    history = reader.versions(written.planned.dataset_id)
    later = versions_after(history, left_at)
    if later is None:
        return None
    ours = history[len(later)]
    return any(version.data_location != ours.data_location for version in later)
