"""Undo of a run."""

from collections.abc import Sequence

from polly_core.engine.builders.base import Built, Found, Workshop
from polly_core.engine.execution import living_executions
from polly_core.errors import InvalidInput, RunBusy
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.fieldpath import FieldPath, parse_field
from polly_core.models.operations import UndoSpec
from polly_core.models.run import Planned
from polly_core.operations.choosing import changed_fields, changes
from polly_core.operations.stepping import DATASET
from polly_core.operations.undo import Undo, Undone
from polly_core.planning.wording import MOST_NAMES, SHOWN_NAMES, listed, meant


def build(workshop: Workshop) -> Built:
    """What is chosen and was not done by the run is refused by name.

    Raises:
        RunBusy: a process executes the run that is to be undone.
        InvalidInput: one of the datasets was not written by the run, or a field not changed.
    """
    wanted = workshop.description(UndoSpec)
    ledger = workshop.ledger
    living = living_executions(ledger, wanted.run_id)
    if living:
        raise RunBusy(
            f"run {wanted.run_id} is being executed by {living[0].process}; cancel it first: "
            f"polly-bulk cancel {wanted.run_id}"
        )
    chosen = None if wanted.dataset_ids is None else frozenset(wanted.dataset_ids)
    fields = _fields(wanted)
    if chosen is not None:
        _require_written(ledger, wanted.run_id, chosen)
    if fields is not None:
        _require_changed(ledger, wanted, fields)

    def enrich(found: Sequence[Found]) -> Sequence[Found]:
        kept = [one for one in found if chosen is None or one.dataset_id in chosen]
        rows = _rows(ledger, wanted, kept)
        return [
            Found(
                one.dataset_id,
                row=_undone(rows[one.dataset_id, one.file_name]).model_dump(mode="json"),
                file_name=one.file_name,
            )
            for one in kept
        ]

    operation = Undo(fields, save_bytes=wanted.save_bytes, saved_in=workshop.saved_in)
    return Built(operation, workshop.ports.reader, enrich=enrich, by_file=True)


def _fields(wanted: UndoSpec) -> tuple[FieldPath, ...] | None:
    if wanted.fields is None:
        return None
    try:
        return tuple(map(parse_field, wanted.fields))
    except ValueError as error:
        raise InvalidInput(f"fields: {error}") from None


def _require_written(ledger: Ledger, run_id: RunId, chosen: frozenset[DatasetId]) -> None:
    wrote = {row.dataset_id for row in ledger.items(run_id, dataset_ids=chosen) if row.wrote}
    missing = sorted(chosen - wrote)
    if not missing:
        return
    some = missing[:SHOWN_NAMES]
    rows = ledger.items(run_id, dataset_ids=some, plans=False)
    states = {row.dataset_id: f"{row.state} in it" for row in rows}
    told = ", ".join(f"{one} ({states.get(one, 'not in the run')})" for one in some)
    more = f" and {len(missing) - len(some)} more" if len(missing) > len(some) else ""
    raise InvalidInput(
        f"run {run_id} did not write {told}{more}; leave out what it did not write "
        f"(polly-bulk report {run_id} lists what it did)"
    )


def _require_changed(ledger: Ledger, wanted: UndoSpec, fields: Sequence[FieldPath]) -> None:
    missing, changed = list(fields), set[str]()
    for row in ledger.items(wanted.run_id, dataset_ids=wanted.dataset_ids):
        planned = row.planned
        if planned is None or not _has_edited(row, planned):
            continue
        missing = [field for field in missing if not changes(planned, field)]
        if not missing:
            return
        if len(changed) < MOST_NAMES:
            changed.update(changed_fields(planned))
    if not changed:
        raise InvalidInput(
            f"run {wanted.run_id} changed no field of a dataset that lived before and after it; "
            "leave the fields away to undo all that it did"
        )
    told = ", ".join(meant(field.text, changed) for field in missing)
    raise InvalidInput(
        f"run {wanted.run_id} changed no field {told}; it changed {listed(changed)}; "
        "name one of these, or no field to undo all that it did"
    )


def _has_edited(row: ItemRow, planned: Planned) -> bool:
    """Whether it changed fields, or may have; what it created or deleted has none to go back."""
    edits = planned.seen is not None and planned.wanted is not None and not planned.deletes
    return edits and (row.in_doubt or _undone(row).did(DATASET))


def _rows(
    ledger: Ledger, wanted: UndoSpec, found: Sequence[Found]
) -> dict[tuple[str, str], ItemRow]:
    ids = {one.dataset_id for one in found}
    rows = ledger.items(wanted.run_id, dataset_ids=ids)
    return {(row.dataset_id, row.file_name): row for row in rows}


def _undone(row: ItemRow) -> Undone:
    assert row.planned is not None
    return Undone(planned=row.planned, state=row.state, version=row.version_after, done=row.done)
