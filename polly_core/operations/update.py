"""Bulk update of metadata and data type."""

from polly_core.catalog.ports import Reader, Writer
from polly_core.errors import InvalidInput, NotFound
from polly_core.models.catalog import (
    DatasetChange,
    DatasetRecord,
    RunId,
    VersionId,
    VersionRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import digest
from polly_core.models.run import (
    Applied,
    Foreign,
    Happened,
    Invalid,
    Item,
    NotHappened,
    Planned,
    Settled,
    Skipped,
    Unchanged,
    Wanted,
)
from polly_core.operations.base import Draft, Verified, versions_after
from polly_core.planning.diff import apply_patch, diff
from polly_core.planning.steps import Evaluator, StepFailed
from polly_core.planning.validation import Validator


class UpdateMetadata:
    """Evaluates a change on each dataset and writes what it made, if it made anything.

    Without an evaluator it can only do what is planned already.
    """

    def __init__(
        self, evaluator: Evaluator | None = None, validator: Validator | None = None
    ) -> None:
        self._evaluator = evaluator
        self._validator = validator

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord
    ) -> Draft | Unchanged | Skipped | Invalid:
        if self._evaluator is None:
            raise InvalidInput(f"dataset {record.dataset_id} is not in the plan; plan again")
        before = reader.metadata(record)
        try:
            made = self._evaluator.evaluate(record, before, item.row)
        except StepFailed as error:
            return Invalid(reasons=error.reasons, version_seen=record.version_id)
        patch = diff(before, made.metadata)
        if not patch and made.data_type == record.data_type:
            return Unchanged(version_seen=record.version_id)
        problems = self._validator.new_problems(before, made.metadata) if self._validator else ()
        if problems:
            return Invalid(reasons=problems, version_seen=record.version_id)
        wanted = _wanted(record, made.data_type, digest(made.metadata))
        return Draft(Planned(seen=record, patch=patch, wanted=wanted), made.metadata)

    def draft(self, reader: Reader, planned: Planned) -> Draft:
        metadata = apply_patch(reader.metadata(planned.seen), planned.patch)
        found = digest(metadata)
        if found != planned.wanted.metadata_digest:
            raise InvalidInput(
                f"dataset {planned.seen.dataset_id}: the plan's patch on version "
                f"{planned.seen.version_id} gives metadata {found[:12]}, the plan says "
                f"{planned.wanted.metadata_digest[:12]}; plan again"
            )
        return Draft(planned, metadata)

    def apply(self, writer: Writer, draft: Draft, stamp: WriteStamp) -> Applied:
        planned = draft.planned
        # What is not named in the request keeps its location: no new metadata object for a
        # change of type alone.
        sent: set[str] = set()
        if planned.patch:
            sent.add("metadata")
        if planned.wanted.data_type != planned.seen.data_type:
            sent.add("data_type")
        # Not validated: the metadata is JSON already, and to walk through it again is not free.
        change = DatasetChange.model_construct(
            sent, metadata=draft.metadata, data_type=planned.wanted.data_type
        )
        return Applied(version_id=writer.update(planned.seen.dataset_id, change, stamp).version_id)

    def settle(self, reader: Reader, planned: Planned, run_id: RunId) -> Settled:
        seen = planned.seen
        if reader.capabilities.lists_ingestions:
            recorded = reader.ingestions(run_id, seen.dataset_id)
            if recorded and recorded[-1].version_id is not None:
                return Happened(version_id=recorded[-1].version_id, attributed=True)
        try:
            history = reader.versions(seen.dataset_id)
        except NotFound:
            return Foreign()
        later = versions_after(history, seen.version_id)
        if later is None:
            return Foreign(versions=tuple(v.version_id for v in history[::-1]))
        if not later:
            return NotHappened()
        if reader.capabilities.lists_ingestions:
            # The server's record would name our run.
            return Foreign(versions=tuple(v.version_id for v in later))
        return _inferred(reader, planned, later)

    def verify(
        self,
        reader: Reader,
        planned: Planned,
        version: VersionId,
        *,
        full: bool,
        resent: bool,
    ) -> Verified:
        # Somebody may have deleted the dataset since; the promise was about its history.
        history = reader.versions(planned.seen.dataset_id, include_deleted=True)
        later = versions_after(history, planned.seen.version_id) or []
        ids = [v.version_id for v in later]
        if version not in ids:
            seen = planned.seen.version_id
            return Verified(problems=(f"version {version} is not in the history after {seen}",))
        ours = ids.index(version)
        problems: tuple[str, ...] = ()
        if full and not _matches(reader, planned.wanted, later[ours]):
            problems = (f"version {version} does not hold what was planned",)
        twins = later[ours + 1 :] if resent else []
        return Verified(
            problems=problems,
            between=tuple(ids[:ours]),
            repeated=tuple(v.version_id for v in twins if _matches(reader, planned.wanted, v)),
        )


def _wanted(record: DatasetRecord, data_type: str, metadata_digest: str) -> Wanted:
    return Wanted(
        metadata_digest=metadata_digest,
        data_type=data_type,
        data_format=record.data_format,
        data_location=record.data_location,
    )


def _inferred(reader: Reader, planned: Planned, later: list[VersionRecord]) -> Settled:
    """Ours is the first later version that holds exactly what we wanted."""
    for position, version in enumerate(later):
        if _matches(reader, planned.wanted, version):
            between = tuple(v.version_id for v in later[:position])
            return Happened(version_id=version.version_id, between=between)
    return Foreign(versions=tuple(v.version_id for v in later))


def _matches(reader: Reader, wanted: Wanted, version: VersionRecord) -> bool:
    same = (version.data_type, version.data_format, version.data_location) == (
        wanted.data_type,
        wanted.data_format,
        wanted.data_location,
    )
    # The metadata costs a read; most foreign versions already differ above or not at all.
    return same and digest(reader.metadata(version)) == wanted.metadata_digest
