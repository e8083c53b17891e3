"""Asks for ingestions of datasets as they stand."""

from typing import Literal

from pydantic import TypeAdapter, ValidationError

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import Invalid, Item, Planned, Skipped, Unchanged
from polly_core.operations.base import Draft
from polly_core.operations.transition import Transition

PRIORITY_COLUMN = "priority"
NOT_TAKEN_BACK = "an ingestion cannot be taken back"

Priority = Literal["high", "medium", "low"]


class Ingest(Transition):
    """Asks once for each dataset; a manifest's column ``priority`` says how urgent it is."""

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        record = record or reader.dataset(item.dataset_id)
        try:
            priority = priority_of(item.row)
        except ValueError as error:
            return Invalid(reasons=(str(error),), version_seen=record.version_id)
        planned = Planned(
            seen=record, triggers=True, priority=priority, not_recoverable=(NOT_TAKEN_BACK,)
        )
        return Draft(planned, None)


def priority_of(row: JsonObject | None) -> Priority | None:
    """What the row says; None where it says nothing.

    Raises:
        ValueError: it is no priority.
    """
    said = (row or {}).get(PRIORITY_COLUMN)
    if said is None:
        return None
    try:
        return TypeAdapter(Priority).validate_python(said)
    except ValidationError:
        raise ValueError(
            f"expected high, medium or low in {PRIORITY_COLUMN}, found {said!r}"
        ) from None
