"""Deletion. Versions stay with the service; how files and study stood is kept in the plan."""

from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound
from polly_core.models.catalog import DatasetRecord
from polly_core.models.operations import DeleteSpec
from polly_core.models.run import Invalid, Item, Planned, Skipped, Unchanged
from polly_core.operations.base import Draft
from polly_core.operations.keeping import keep
from polly_core.operations.transition import Transition


class Delete(Transition):
    """Deletes each dataset; one that is deleted already is as wanted."""

    calls_to_plan = True

    def __init__(self, spec: DeleteSpec, *, saved_in: Path | None = None) -> None:
        super().__init__(saved_in=saved_in)
        self._spec = spec

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        try:
            record = record or reader.dataset(item.dataset_id)
            files = reader.files(item.dataset_id)
        except NotFound:
            # One that never was is a mistake in the selection, and the reader says so.
            reader.versions(item.dataset_id, include_deleted=True)
            return Unchanged(version_seen=None)
        kept = keep(reader, files, save_bytes=self._spec.save_bytes)
        planned = Planned(
            seen=record,
            deletes=True,
            files_before=kept.before,
            saves=kept.saves,
            side_effects=_side_effects(record, len(files)),
            not_recoverable=kept.not_recoverable,
        )
        return Draft(planned, None)


def _side_effects(record: DatasetRecord, files: int) -> tuple[str, ...]:
    found = []
    if files:
        found.append(f"its supplementary files go with it: {files}")
    if record.study_id is not None:
        found.append("it leaves its study")
    return tuple(found)
