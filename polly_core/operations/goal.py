"""To which version a dataset goes back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetId, DatasetRecord, StudyId, VersionId, VersionRecord
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.operations import RollbackSpec
from polly_core.operations.newrow import text_of

RECORDED = "@recorded"
"""Member of an item's row with what the ledger knows, put there when the items were frozen."""
VERSION_COLUMN = "version_id"
_SHOWN = 5
_EPOCH = datetime.fromtimestamp(0, UTC)


class Before(Model):
    """How a dataset stood before a run."""

    version_id: VersionId | None = None
    study_id: StudyId | None = None
    has_study: bool = False
    """``study_id`` is known; None is out of any study."""
    problem: str = ""
    """Why there is nothing to go back to."""


class Recorded(Model):
    """What the ledger knows of a dataset."""

    studies: Mapping[VersionId, StudyId | None] = {}
    """The last study that it was known to be in, at versions."""
    before: Before | None = None


class NoGoal(Exception):
    """There is nothing to go back to, in words; ``harmless`` where that is no mistake."""

    def __init__(self, reason: str, *, harmless: bool = False) -> None:
        super().__init__(reason)
        self.harmless = harmless


class Past:
    """The versions of one dataset, newest first."""

    def __init__(self, reader: Reader, dataset_id: DatasetId, record: DatasetRecord | None) -> None:
        """Raises ``NotFound`` for a dataset that never was."""
        self._reader = reader
        self._dataset_id = dataset_id
        self.is_live = record is not None
        self.present: Sequence[VersionRecord] = reader.versions(dataset_id) if record else ()
        self._whole: Sequence[VersionRecord] | None = None if record else self._read_all()

    @property
    def whole(self) -> Sequence[VersionRecord]:
        """Those of earlier lives as well."""
        if self._whole is None:
            self._whole = self._read_all()
        return self._whole

    def _read_all(self) -> Sequence[VersionRecord]:
        return self._reader.versions(self._dataset_id, include_deleted=True)


def recorded_of(row: JsonObject | None) -> Recorded:
    """What the ledger knows, out of an item's row."""
    return Recorded.model_validate((row or {}).get(RECORDED) or {})


def goal_of(
    spec: RollbackSpec, row: JsonObject | None, past: Past
) -> tuple[VersionRecord, tuple[str, ...]]:
    """The version, and what the reader of the plan should know about the choice.

    Raises:
        NoGoal: there is none.
    """
    if spec.as_of is not None:
        return _as_of(past, spec.as_of)
    if spec.back is not None:
        return _back(past, spec.back), ()
    if spec.before_run is not None:
        before = recorded_of(row).before or Before(problem=f"run {spec.before_run} has it not")
        if before.version_id is None:
            raise NoGoal(before.problem)
        return _named(past, before.version_id), ()
    named = text_of(row or {}, VERSION_COLUMN)
    if named is None:
        raise NoGoal(f"expected a version in {VERSION_COLUMN}, found nothing")
    return _named(past, VersionId(named)), ()


def _named(past: Past, version_id: VersionId) -> VersionRecord:
    for versions in (past.present, past.whole):
        for version in versions:
            if version.version_id == version_id:
                return version
    newest = ", ".join(version.version_id for version in past.whole[:_SHOWN])
    more = f" and {len(past.whole) - _SHOWN} older ones" if len(past.whole) > _SHOWN else ""
    raise NoGoal(f"it never had version {version_id}; it has {newest}{more}")


def _back(past: Past, steps: int) -> VersionRecord:
    # Of a deleted dataset the newest version is one back: the state before the deletion.
    place = steps if past.is_live else steps - 1
    versions = past.present if len(past.present) > place else past.whole
    if len(versions) <= place:
        raise NoGoal(
            f"{steps} versions back is before its first version: it has {len(versions)} in all"
        )
    return versions[place]


def _as_of(past: Past, moment: datetime) -> tuple[VersionRecord, tuple[str, ...]]:
    latest = (moment - _EPOCH) // timedelta(milliseconds=1)
    for version in past.present:
        if version.created_at <= latest:
            return version, ()
    for version in past.whole:
        if version.created_at <= latest:
            said = (
                "it was deleted since; whether it was already, at the time asked for, the service "
                "does not say: it goes back to its newest version by then"
            )
            return version, (said,)
    first = datetime.fromtimestamp(past.whole[-1].created_at / 1000, UTC)
    raise NoGoal(
        f"it did not exist then: its first version is of {first:%Y-%m-%d %H:%M:%S} UTC",
        harmless=True,
    )
