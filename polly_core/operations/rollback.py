"""Rollback: each dataset goes back to an earlier version; one that is deleted comes back."""

from dataclasses import dataclass
from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.errors import ObjectMissing, StorageDenied
from polly_core.models.catalog import DatasetRecord, VersionRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import RollbackSpec
from polly_core.models.run import Invalid, Item, Planned, Skipped, StudyTarget, Unchanged
from polly_core.operations.base import Draft, live, wanted_of
from polly_core.operations.goal import NoGoal, Past, goal_of, recorded_of
from polly_core.operations.keeping import Kept, keep
from polly_core.operations.newrow import place_of
from polly_core.operations.transition import Transition
from polly_core.planning.diff import diff

STAYS = "the study at that version is not recorded; it stays in the one it is in, if any"
IN_NONE = "the study it was in is not recorded; it comes back in none"
NO_FILES = (
    "supplementary files that went when it was deleted do not come back; undo of the run that "
    "deleted it attaches them again"
)


@dataclass(frozen=True, slots=True)
class _Goal:
    """Where an item goes back to."""

    version: VersionRecord
    metadata: JsonObject
    notes: tuple[str, ...]
    study: StudyTarget | None
    """None where it is not recorded."""


class Rollback(Transition):
    """Makes each dataset what it was at a version: metadata, data, type, format, and the study
    where the ledger recorded it. Copies no data."""

    calls_to_plan = True

    def __init__(self, spec: RollbackSpec, *, saved_in: Path | None = None) -> None:
        super().__init__(saved_in=saved_in)
        self._spec = spec

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        record = record or live(reader, item.dataset_id)
        past = Past(reader, item.dataset_id, record)
        try:
            version, notes = goal_of(self._spec, item.row, past)
            if record is None or version.data_location != record.data_location:
                _require_data(reader, version)
        except NoGoal as error:
            reason = f"{place_of(item.row)}{error}"
            if error.harmless:
                return Skipped(reason=reason)
            seen = record.version_id if record else past.whole[0].version_id
            return Invalid(reasons=(reason,), version_seen=seen)
        study = _study(item.row, version)
        goal = _Goal(version, reader.metadata(version), notes, study)
        if record is None:
            return _revived(item, past, goal)
        return self._back(reader, record, goal)

    def _back(self, reader: Reader, record: DatasetRecord, goal: _Goal) -> Draft | Unchanged:
        version = goal.version
        same_object = version.metadata_location == record.metadata_location
        patch = () if same_object else diff(reader.metadata(record), goal.metadata)
        moved = _data_of(version) != _data_of(record)
        leaves = goal.study is not None and goal.study.study_id != record.study_id
        if not patch and not moved and not leaves:
            return Unchanged(version_seen=record.version_id)
        kept = self._kept(reader, record, version)
        planned = Planned(
            seen=record,
            patch=patch,
            wanted=wanted_of(goal.version, goal.metadata) if patch or moved else None,
            study=goal.study if leaves else None,
            files_before=kept.before,
            saves=kept.saves,
            side_effects=(*goal.notes, *_files_lost(kept)),
            not_recoverable=(*(() if goal.study else (STAYS,)), *kept.not_recoverable),
        )
        return Draft(planned, goal.metadata if patch else None)

    def _kept(self, reader: Reader, record: DatasetRecord, version: VersionRecord) -> Kept:
        """The files that are linked to data that is replaced."""
        if version.data_location == record.data_location:
            return Kept()
        files = reader.files(record.dataset_id)
        lost = [one for one in files if one.derived_from not in {None, version.data_location}]
        return keep(reader, lost, save_bytes=self._spec.save_bytes)


def _revived(item: Item, past: Past, goal: _Goal) -> Draft:
    study = goal.study
    planned = Planned(
        creates=item.dataset_id,
        ended=past.whole[0].version_id,
        patch=diff({}, goal.metadata),
        wanted=wanted_of(goal.version, goal.metadata),
        study=study if study and study.study_id else None,
        side_effects=("it is deleted and comes back", *goal.notes),
        not_recoverable=(*(() if study else (IN_NONE,)), NO_FILES),
    )
    return Draft(planned, goal.metadata)


def _require_data(reader: Reader, version: VersionRecord) -> None:
    try:
        reader.stat(version.data_location)
    except (ObjectMissing, StorageDenied) as error:
        raise NoGoal(f"the data of version {version.version_id} cannot be read: {error}") from error


def _study(row: JsonObject | None, version: VersionRecord) -> StudyTarget | None:
    recorded = recorded_of(row)
    if recorded.before is not None and recorded.before.has_study:
        return StudyTarget(study_id=recorded.before.study_id)
    if version.version_id not in recorded.studies:
        return None
    return StudyTarget(study_id=recorded.studies[version.version_id])


def _data_of(one: DatasetRecord | VersionRecord) -> tuple[str, str, str]:
    return one.data_type, one.data_format, one.data_location


def _files_lost(kept: Kept) -> tuple[str, ...]:
    return tuple(
        f"file {file.file_name!r} is linked to the data that is replaced: the service deletes it"
        for file in kept.before
    )
