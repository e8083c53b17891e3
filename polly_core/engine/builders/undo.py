"""Undo of a run."""

from collections.abc import Sequence

from polly_core.engine.builders.base import Built, Found, Workshop
from polly_core.engine.execution import living_executions
from polly_core.errors import InvalidInput, RunBusy
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.fieldpath import FieldPath, parse_field
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import UndoSpec
from polly_core.operations.undo import Undo, Undone


def build(workshop: Workshop) -> Built:
    """Raises ``RunBusy`` while a process executes the run that is to be undone."""
    wanted = workshop.description(UndoSpec)
    ledger = workshop.ledger
    living = living_executions(ledger, wanted.run_id)
    if living:
        raise RunBusy(
            f"run {wanted.run_id} is being executed by {living[0].process}; cancel it first: "
            f"polly-bulk cancel {wanted.run_id}"
        )
    chosen = None if wanted.dataset_ids is None else frozenset(wanted.dataset_ids)

    def enrich(found: Sequence[Found]) -> Sequence[Found]:
        kept = [one for one in found if chosen is None or one.dataset_id in chosen]
        rows = _rows(ledger, wanted, kept)
        return [
            Found(
                one.dataset_id,
                row=_undone(rows[one.dataset_id, one.file_name]),
                file_name=one.file_name,
            )
            for one in kept
        ]

    operation = Undo(_fields(wanted), save_bytes=wanted.save_bytes, saved_in=workshop.saved_in)
    return Built(operation, workshop.ports.reader, enrich=enrich, by_file=True)


def _fields(wanted: UndoSpec) -> tuple[FieldPath, ...] | None:
    if wanted.fields is None:
        return None
    try:
        return tuple(map(parse_field, wanted.fields))
    except ValueError as error:
        raise InvalidInput(f"fields: {error}") from None


def _rows(
    ledger: Ledger, wanted: UndoSpec, found: Sequence[Found]
) -> dict[tuple[str, str], ItemRow]:
    ids = {one.dataset_id for one in found}
    rows = ledger.items(wanted.run_id, dataset_ids=ids)
    return {(row.dataset_id, row.file_name): row for row in rows}


def _undone(row: ItemRow) -> JsonObject:
    assert row.planned is not None
    undone = Undone(planned=row.planned, state=row.state, version=row.version_after, done=row.done)
    dumped: JsonObject = undone.model_dump(mode="json")
    return dumped
