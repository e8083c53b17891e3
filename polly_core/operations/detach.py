"""Removes supplementary files: an item is a dataset and a file name."""

from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetRecord
from polly_core.models.operations import DetachSpec
from polly_core.models.run import Invalid, Item, Planned, Skipped, Unchanged
from polly_core.operations.base import Draft
from polly_core.operations.keeping import keep
from polly_core.operations.transition import Transition


class Detach(Transition):
    """Removes each file that a row names; how it stood is kept in the plan."""

    calls_to_plan = True

    def __init__(self, spec: DetachSpec, *, saved_in: Path | None = None) -> None:
        super().__init__(saved_in=saved_in)
        self._spec = spec

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        record = record or reader.dataset(item.dataset_id)
        listed = reader.files(item.dataset_id)
        found = [file for file in listed if file.file_name == item.file_name]
        if not found:
            return self._missing(item, record, sorted(file.file_name for file in listed))
        kept = keep(reader, found, save_bytes=self._spec.save_bytes)
        planned = Planned(
            seen=record,
            detach=(item.file_name,),
            files_before=kept.before,
            saves=kept.saves,
            not_recoverable=kept.not_recoverable,
        )
        return Draft(planned, None)

    def _missing(self, item: Item, record: DatasetRecord, names: list[str]) -> Skipped | Invalid:
        if self._spec.missing == "skip":
            return Skipped(reason="there is no such file")
        reason = (
            f"dataset {item.dataset_id} has no file {item.file_name!r}, found "
            f"{', '.join(map(repr, names[:20])) or 'none'}; correct the name, or use "
            "--missing skip"
        )
        return Invalid(reasons=(reason,), version_seen=record.version_id)
