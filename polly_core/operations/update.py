"""Bulk update of metadata and data type."""

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetRecord
from polly_core.models.jsonvalue import digest
from polly_core.models.run import Invalid, Item, Planned, Skipped, Unchanged, Wanted
from polly_core.operations.base import Draft
from polly_core.operations.basing import read_base
from polly_core.operations.transition import Transition
from polly_core.planning.diff import diff
from polly_core.planning.steps import Evaluator, StepFailed
from polly_core.planning.validation import Validator


class UpdateMetadata(Transition):
    """Evaluates a change on each dataset and writes what it made, if it made anything."""

    def __init__(self, evaluator: Evaluator, validator: Validator | None = None) -> None:
        self._evaluator = evaluator
        self._validator = validator

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        record = record or reader.dataset(item.dataset_id)
        before = reader.metadata(record)
        try:
            base = read_base(reader, record, before, item.row)
            made = self._evaluator.evaluate(record, before, item.row, base=base)
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


def _wanted(record: DatasetRecord, data_type: str, metadata_digest: str) -> Wanted:
    return Wanted(
        metadata_digest=metadata_digest,
        data_type=data_type,
        data_format=record.data_format,
        data_location=record.data_location,
    )
