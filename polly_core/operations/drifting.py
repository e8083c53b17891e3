"""Whether a dataset is still as it was when a stored plan was made."""

from collections.abc import Iterable, Mapping

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound
from polly_core.models.catalog import DatasetRecord, FileRecord
from polly_core.models.run import FileState, Planned, StepResult
from polly_core.operations.base import Drift
from polly_core.operations.stepping import ATTACH, DETACH


def drift_of(
    reader: Reader,
    planned: Planned,
    record: DatasetRecord | None,
    done: tuple[StepResult, ...] = (),
) -> Drift | None:
    """Why a stored plan no longer fits, or None. What its own steps have done is no drift.

    A server that enforces versions is not asked twice: it refuses the write itself.

    Raises:
        NotFound: the dataset that was seen is gone.
    """
    if planned.seen is None:
        return _lives(reader, planned, record)
    has_files = bool(planned.attach or planned.detach) or _loses_files(planned)
    writes = planned.wanted is not None or planned.deletes
    if record is None and reader.capabilities.expects_version and writes and not has_files:
        return None
    record = record or reader.dataset(planned.dataset_id)
    return _moved(planned, planned.seen, record) or (
        _files_moved(reader, planned, done) if has_files else None
    )


def files_drift(reader: Reader, planned: Planned, done: tuple[StepResult, ...]) -> Drift | None:
    """Why the files that are still to be attached or removed are no longer as planned, or None.

    The dataset's own step is done: files that were linked to data that it replaced are gone.
    """
    ours = {result.step for result in done}
    left = [name for name in _named(planned) if not ours & {ATTACH + name, DETACH + name}]
    if not left:
        return None
    found = {file.file_name: state_of(file) for file in reader.files(planned.dataset_id)}
    before = {file.file_name: file for file in planned.files_before}
    for name in left:
        was = before.get(name)
        went = was is not None and was.linked and name not in found
        if not went and not _same(found.get(name), was):
            return _moved_file(name, found, before)
    return None


def _lives(reader: Reader, planned: Planned, record: DatasetRecord | None) -> Drift | None:
    try:
        found = record or reader.dataset(planned.dataset_id)
    except NotFound:
        return None
    return Drift(f"there was no such dataset when it was planned, found version {found.version_id}")


def _moved(planned: Planned, seen: DatasetRecord, record: DatasetRecord) -> Drift | None:
    if record.version_id != seen.version_id:
        return Drift(f"planned at version {seen.version_id}, found {record.version_id}")
    # A deletion takes the study away: undo puts it back as it was seen.
    loses_study = planned.study is not None or planned.deletes
    if loses_study and record.study_id != seen.study_id:
        return Drift(f"planned in study {seen.study_id}, found in {record.study_id}")
    return None


def _files_moved(reader: Reader, planned: Planned, done: tuple[StepResult, ...]) -> Drift | None:
    """Files have no versions: what is to be replaced or removed must be what was seen."""
    ours = {result.step for result in done}
    found = {file.file_name: state_of(file) for file in reader.files(planned.dataset_id)}
    before = {file.file_name: file for file in planned.files_before}
    for name in _touched(planned, found):
        if ours & {ATTACH + name, DETACH + name}:
            continue
        if not _same(found.get(name), before.get(name)):
            return _moved_file(name, found, before)
    return None


def _moved_file(
    name: str, found: Mapping[str, FileState], before: Mapping[str, FileState]
) -> Drift:
    was = before[name].file_location if name in before else "nothing"
    now = found[name].file_location if name in found else "nothing"
    return Drift(f"file {name!r} was {was} when it was planned, found {now}")


def _named(planned: Planned) -> Iterable[str]:
    yield from (file.file_name for file in planned.attach)
    yield from planned.detach


def _touched(planned: Planned, found: Mapping[str, FileState]) -> Iterable[str]:
    yield from _named(planned)
    # What was to be lost and is gone already is not put back by an undo.
    yield from (file.file_name for file in planned.files_before)
    if planned.deletes:
        yield from found
    elif _loses_files(planned):
        yield from (name for name, file in found.items() if file.linked)


def _loses_files(planned: Planned) -> bool:
    """Whether files go that it does not name: those of the dataset, or those linked to its data.

    One that came after the plan would be lost without a trace.
    """
    wanted, seen = planned.wanted, planned.seen
    if wanted is None or seen is None:
        return planned.deletes
    return wanted.data_location != seen.data_location


def _same(found: FileState | None, before: FileState | None) -> bool:
    if found is None or before is None:
        return found is before
    # A service may list a file without its object's version; it is pinned when it is kept.
    bare, _, _ = before.file_location.partition("?")
    if found.file_location == bare:
        found = found.model_copy(update={"file_location": before.file_location})
    return found == before


def state_of(file: FileRecord) -> FileState:
    """A file as it stands, to be kept for undo."""
    return FileState(
        file_name=file.file_name,
        file_format=file.file_format,
        file_location=file.file_location,
        tag=file.tag,
        linked=file.derived_from is not None,
    )
