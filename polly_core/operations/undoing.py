"""The inverse of what an item's write did to content and files, where nobody touched it since."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from polly_core.catalog.ports import Reader
from polly_core.errors import ObjectMissing, StorageDenied
from polly_core.models.catalog import DatasetRecord, FileRecord, VersionId, VersionRecord
from polly_core.models.fieldpath import DATA_TYPE, FieldPath, format_field
from polly_core.models.jsonvalue import JsonObject, digest
from polly_core.models.run import (
    FileState,
    FileTarget,
    ObjectSource,
    PatchOp,
    Planned,
    StepResult,
    Wanted,
)
from polly_core.operations.choosing import parts_back
from polly_core.operations.drifting import state_of
from polly_core.operations.keeping import Kept, keep
from polly_core.operations.stepping import (
    ATTACH,
    DATA,
    DATASET,
    DETACH,
    SAVE,
    file_location,
    location_of,
    result_of,
)
from polly_core.planning.diff import apply_patch, diff, invert, pointer_keys, unmet
from polly_core.planning.values import ABSENT, MaybeJson, shown

GOES = (
    "linked file {name!r} was attached since, and would go with the data of the run; detach it, or "
    "attach it without the link, and undo again"
)


class Undone(Protocol):
    """What a run did to an item."""

    @property
    def planned(self) -> Planned: ...

    @property
    def version(self) -> VersionId | None: ...

    @property
    def done(self) -> tuple[StepResult, ...]: ...

    def did(self, step: str) -> bool:
        """Whether a step is known to have happened."""
        ...


@dataclass(slots=True)
class ContentBack:
    """Metadata, data type and data as they are to be; what is unset stays as it is now."""

    metadata: JsonObject | None = None
    patch: tuple[PatchOp, ...] = ()
    data_type: str | None = None
    data: tuple[str, str] | None = None
    """Format and location."""
    disputes: list[str] = field(default_factory=list)
    """What others have changed since, of what the run had changed."""

    def wanted(self, record: DatasetRecord) -> Wanted | None:
        """The versioned state to be made; None where nothing of it changes."""
        data_format, location = self.data or (record.data_format, record.data_location)
        wanted = Wanted(
            metadata_digest=digest(self.metadata),
            data_type=self.data_type or record.data_type,
            data_format=data_format,
            data_location=location,
        )
        now = (record.data_type, record.data_format, record.data_location)
        same = (wanted.data_type, wanted.data_format, wanted.data_location) == now
        return None if same and not self.patch else wanted

    def moves_data(self, record: DatasetRecord) -> bool:
        """Whether the data goes back to another location."""
        return self.data is not None and self.data[1] != record.data_location


def content_back(
    reader: Reader,
    undone: Undone,
    record: DatasetRecord,
    fields: tuple[FieldPath, ...] | None,
) -> ContentBack:
    """How content goes back.

    Args:
        fields: only these; None is all of it.
    """
    if undone.planned.wanted is None or not undone.did(DATASET):
        return ContentBack()
    now = reader.metadata(record)
    if fields is None and record.version_id == undone.version:
        return _before_ours(reader, record, now)
    return _field_by_field(undone, record, now, fields)


def _before_ours(reader: Reader, record: DatasetRecord, now: JsonObject) -> ContentBack:
    """To the version directly before ours, whoever made it."""
    history = reader.versions(record.dataset_id, include_deleted=True)
    before = _after(history, record.version_id)
    then = reader.metadata(before)
    return ContentBack(
        metadata=then,
        patch=diff(now, then),
        data_type=before.data_type,
        data=(before.data_format, before.data_location),
    )


def _after(history: Iterable[VersionRecord], version: VersionId) -> VersionRecord:
    """The one listed after it: the history is newest first."""
    versions = iter(history)
    for found in versions:
        if found.version_id == version:
            break
    return next(versions)


def _field_by_field(
    undone: Undone,
    record: DatasetRecord,
    now: JsonObject,
    fields: tuple[FieldPath, ...] | None,
) -> ContentBack:
    planned = undone.planned
    ours = [op for op in planned.patch if _is_chosen(op, fields)]
    # What stands as it did before us needs nothing; whoever put it back did our work.
    standing = [op for op in ours if unmet(now, [op])]
    inverse = invert(standing)
    disputed = {op.path for op in unmet(now, inverse)}
    back = ContentBack(
        disputes=[_dispute(op, now) for op in standing if op.path in disputed],
    )
    agreed = [op for op in inverse if op.path not in disputed]
    back.metadata, disputes = parts_back(apply_patch(now, agreed), planned.patch, fields)
    back.disputes += disputes
    back.patch = diff(now, back.metadata)
    if fields is None or any(one.attribute == DATA_TYPE for one in fields):
        _type_back(back, planned, record)
    if fields is None:
        _data_back(back, undone, record)
    return back


def _is_chosen(op: PatchOp, fields: tuple[FieldPath, ...] | None) -> bool:
    if fields is None:
        return True
    keys = pointer_keys(op.path)
    return any(one.attribute is None and keys[: len(one.keys)] == one.keys for one in fields)


def _dispute(op: PatchOp, now: JsonObject) -> str:
    keys = pointer_keys(op.path)
    node: MaybeJson = now
    for key in keys:
        node = node.get(key, ABSENT) if isinstance(node, dict) else ABSENT
    was = "nothing" if op.op == "add" else shown(op.before)
    made = "nothing" if op.op == "remove" else shown(op.value)
    return f"field {format_field(keys)}: was {was}, set to {made} by the run, found {shown(node)}"


def _type_back(back: ContentBack, planned: Planned, record: DatasetRecord) -> None:
    assert planned.seen is not None
    assert planned.wanted is not None
    was, made, now = planned.seen.data_type, planned.wanted.data_type, record.data_type
    if was in {made, now}:
        return
    if now == made:
        back.data_type = was
    else:
        back.disputes.append(f"data type: was {was!r}, set to {made!r} by the run, found {now!r}")


def _data_back(back: ContentBack, undone: Undone, record: DatasetRecord) -> None:
    seen, wanted = undone.planned.seen, undone.planned.wanted
    assert seen is not None
    assert wanted is not None
    made = _data_made(undone)
    if seen.data_location in {made, record.data_location}:
        return
    if record.data_location == made:
        back.data = (seen.data_format, seen.data_location)
    else:
        back.disputes.append(
            f"data: was {seen.data_location}, set to {made} by the run, "
            f"found {record.data_location}"
        )


@dataclass(slots=True)
class FilesBack:
    """Supplementary files as they are to be."""

    attach: tuple[FileTarget, ...] = ()
    detach: tuple[str, ...] = ()
    kept: Kept = field(default_factory=Kept)
    """What it replaces, removes, or what goes with the data."""
    disputes: tuple[str, ...] = ()
    """What others have done since, that would be lost."""
    lost: tuple[str, ...] = ()
    """Files that cannot be put back."""


def revived(reader: Reader, undone: Undone) -> FilesBack:
    """The files of a dataset that is brought back."""
    attach, lost = _put_back(reader, undone, undone.planned.files_before)
    return FilesBack(attach=tuple(attach), lost=tuple(lost))


def files_back(reader: Reader, undone: Undone, *, moves_data: bool, save_bytes: bool) -> FilesBack:
    """How the files of a live dataset go back.

    Args:
        moves_data: the data goes back to another location, and files linked to it go.
        save_bytes: download what is lost by that.
    """
    planned = undone.planned
    if not (planned.attach or planned.detach or planned.files_before or moves_data):
        return FilesBack()
    listed = {file.file_name: file for file in reader.files(planned.dataset_id)}
    going = {n for n, file in listed.items() if moves_data and file.derived_from is not None}
    choices = _choices(undone, listed, going)
    attach, lost = _put_back(reader, undone, choices.wanted)
    changed = [file for name, file in listed.items() if name in choices.touched]
    return FilesBack(
        attach=tuple(attach),
        # What is linked to data that is replaced goes by itself; a removal would find nothing.
        detach=tuple(name for name in choices.removed if name not in going),
        kept=keep(reader, changed, save_bytes=save_bytes),
        disputes=tuple(choices.disputes.values()),
        lost=tuple(lost),
    )


@dataclass(slots=True)
class _Choices:
    """What becomes of each file."""

    removed: list[str] = field(default_factory=list)
    wanted: list[FileState] = field(default_factory=list)
    """To be put back."""
    disputes: dict[str, str] = field(default_factory=dict)
    """By name, what others have done since."""

    @property
    def touched(self) -> set[str]:
        return {*self.removed, *(state.file_name for state in self.wanted)}


def _choices(undone: Undone, listed: dict[str, FileRecord], going: set[str]) -> _Choices:
    """``going`` are the names of files that go with the data when it goes back."""
    before = {state.file_name: state for state in undone.planned.files_before}
    found = _Choices()
    for name, ours in _left_by(undone).items():
        then, now = before.get(name), listed.get(name)
        state = state_of(now) if now else None
        if state == then:
            # It stands as it did before the run, and would go with the run's data.
            found.wanted.extend([state] if state and name in going else [])
        elif (_place(state) if state else None) != ours:
            at = state.file_location if state else "nothing"
            left = ours[0] if ours else "nothing"
            found.disputes[name] = f"file {name!r}: the run left {left}, found {at}"
        elif then is None:
            found.removed.append(name)
        else:
            found.wanted.append(then)
    for name in sorted(going - found.touched - found.disputes.keys()):
        found.disputes[name] = GOES.format(name=name)
    return found


_Place = tuple[str, str | None]
"""Location and tag of a file."""


def _place(state: FileState) -> _Place:
    return state.file_location, state.tag


def not_left_by(undone: Undone, files: Iterable[FileRecord]) -> list[str]:
    """Names of those files that are not as the run left them."""
    ours = _left_by(undone)
    states = map(state_of, files)
    return [one.file_name for one in states if ours.get(one.file_name) != _place(one)]


def _left_by(undone: Undone) -> dict[str, _Place | None]:
    """The files that the run attached, or took away (None): itself, or with the data."""
    planned = undone.planned
    found: dict[str, _Place | None] = {}
    if planned.seen and undone.did(DATASET) and _data_made(undone) != planned.seen.data_location:
        found.update((one.file_name, None) for one in planned.files_before if one.linked)
    for file in planned.attach:
        if undone.did(ATTACH + file.file_name):
            attached = location_of(undone.done, ATTACH + file.file_name)
            location = attached or file_location(file, undone.done)
            found[file.file_name] = (location or "", file.tag)
    found.update((name, None) for name in planned.detach if undone.did(DETACH + name))
    return found


def _data_made(undone: Undone) -> str | None:
    """Where the run left the data."""
    planned = undone.planned
    if planned.wanted is None:
        return planned.seen.data_location if planned.seen else None
    return planned.wanted.data_location or location_of(undone.done, DATA)


def _put_back(
    reader: Reader, undone: Undone, states: Iterable[FileState]
) -> tuple[list[FileTarget], list[str]]:
    """Files to be attached as they were, and what cannot be."""
    found: list[FileTarget] = []
    lost: list[str] = []
    for state in states:
        saved = result_of(undone.done, SAVE + state.file_name)
        try:
            location = reader.stat(state.file_location).location
        except (ObjectMissing, StorageDenied) as error:
            if saved is None or saved.location is None:
                lost.append(f"file {state.file_name!r} cannot be put back: {error}")
                continue
            location = None
        source = None
        if location is None and saved is not None and saved.location is not None:
            source = ObjectSource(uri=saved.location, sha256=saved.sha256)
        found.append(
            FileTarget(
                file_name=state.file_name,
                file_format=state.file_format,
                file_location=location,
                tag=state.tag,
                linked=state.linked,
                source=source,
            )
        )
    return found, lost
