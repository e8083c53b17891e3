"""What earlier runs recorded of datasets."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import bindparam, select

from polly_core.ledger import items, schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.items import PAGE
from polly_core.ledger.rows import ItemRow
from polly_core.ledger.texts import catalog_key, from_text, groups
from polly_core.models.catalog import (
    CatalogRef,
    DatasetId,
    RunId,
    StudyId,
    VersionId,
)
from polly_core.models.run import WRITTEN, ItemState, OperationName, Planned, RunSpec

_ITEM = schema.items.c
_RUN = schema.runs.c
_PLAN = schema.plans.c
_OF_CATALOG = (
    _ITEM.dataset_id.in_(bindparam("these", expanding=True)),
    _RUN.catalog_key == bindparam("of_catalog"),
)
_COPIES = (
    select(_ITEM.dataset_id, _ITEM.run_id, _ITEM.seq)
    .join(schema.runs, _RUN.run_id == _ITEM.run_id)
    .where(
        *_OF_CATALOG,
        _RUN.copies_from == bindparam("of_source"),
        _ITEM.state == ItemState.APPLIED.value,
    )
    .order_by(_ITEM.outcome_at, _RUN.created_at, _ITEM.run_id)
)
_FOLLOWING = (
    select(_ITEM.dataset_id, _ITEM.run_id)
    .join(schema.runs, _RUN.run_id == _ITEM.run_id)
    .where(
        *_OF_CATALOG,
        _RUN.origin_run_id.is_not(None),
        _ITEM.state.in_(sorted(state.value for state in WRITTEN)),
    )
    .order_by(_ITEM.outcome_at, _RUN.created_at, _ITEM.run_id)
)
_SPECS = select(_RUN.run_id, _RUN.spec).where(_RUN.run_id.in_(bindparam("those", expanding=True)))
_PLANNED = (
    select(_ITEM.dataset_id, _ITEM.version_after, _ITEM.state, _PLAN.planned)
    .join(schema.runs, _RUN.run_id == _ITEM.run_id)
    .join(schema.plans, (_PLAN.run_id == _ITEM.run_id) & (_PLAN.seq == _ITEM.seq))
    .where(*_OF_CATALOG)
    .order_by(_RUN.created_at, _ITEM.run_id, _ITEM.seq)
)

_Place = tuple[RunId, int]
"""A run, and ``seq`` of an item in it."""
_Undos = dict[RunId, list[RunId]]
"""What undid a run as a whole at one dataset, oldest first."""


class Copied(NamedTuple):
    """What is recorded of copies of a dataset from one atlas to another."""

    last: ItemRow | None
    """The newest applied one that was not taken back."""
    undone: ItemRow | None = None
    """The newest applied one, where it was taken back."""
    undone_by: RunId | None = None


class _Places(NamedTuple):
    """The same, each by its run and place in it."""

    last: _Place | None
    undone: _Place | None = None
    undone_by: RunId | None = None


def last_copies(
    tx: Transaction, source: CatalogRef, target: CatalogRef, dataset_ids: Collection[DatasetId]
) -> dict[DatasetId, Copied]:
    """The newest applied copies of each dataset from one atlas to another."""
    if (source.api_url, source.instance_id) != (target.api_url, target.instance_id):
        return {}
    key = {"of_catalog": catalog_key(target), "of_source": source.atlas_id}
    applied: defaultdict[DatasetId, list[_Place]] = defaultdict(list)
    for these in groups(sorted(set(dataset_ids)), PAGE):
        for dataset_id, run_id, seq in tx.execute(_COPIES, {**key, "these": these}):
            applied[dataset_id].append((run_id, seq))
    undos = _undos(tx, target, applied)
    places = {one: _standing(found, undos[one]) for one, found in applied.items()}
    rows = _rows(tx, {at for one in places.values() for at in (one.last, one.undone) if at})
    return {
        dataset_id: Copied(
            rows[one.last] if one.last else None,
            rows[one.undone] if one.undone else None,
            one.undone_by,
        )
        for dataset_id, one in places.items()
    }


def _rows(tx: Transaction, places: Collection[_Place]) -> dict[_Place, ItemRow]:
    by_run: defaultdict[RunId, list[int]] = defaultdict(list)
    for run_id, seq in places:
        by_run[run_id].append(seq)
    return {
        (run_id, row.seq): row
        for run_id, seqs in by_run.items()
        for few in groups(seqs, PAGE)
        for row in items.get_each(tx, run_id, few)
    }


def _undos(
    tx: Transaction, catalog: CatalogRef, dataset_ids: Collection[DatasetId]
) -> defaultdict[DatasetId, _Undos]:
    found: list[tuple[DatasetId, RunId]] = []
    for these in groups(sorted(dataset_ids), PAGE):
        key = {"of_catalog": catalog_key(catalog), "these": these}
        found.extend((dataset_id, run_id) for dataset_id, run_id in tx.execute(_FOLLOWING, key))
    whole: dict[RunId, RunId] = {}
    for some in groups(sorted({run_id for _, run_id in found}), PAGE):
        for run_id, text in tx.execute(_SPECS, {"those": some}):
            spec = from_text(RunSpec, text)
            # Where only some fields went back, the copy stands, and was edited.
            if spec.operation is OperationName.UNDO and spec.change.get("fields") is None:
                whole[run_id] = RunId(str(spec.change["run_id"]))
    undos: defaultdict[DatasetId, _Undos] = defaultdict(dict)
    for dataset_id, run_id in found:
        if run_id in whole:
            undos[dataset_id].setdefault(whole[run_id], []).append(run_id)
    return undos


def _standing(applied: list[_Place], undos: _Undos) -> _Places:
    """Of copies of one dataset, oldest first."""
    newest = applied[-1]
    by = _taken_back(newest[0], undos)
    if by is None:
        return _Places(newest)
    standing = (one for one in reversed(applied) if _taken_back(one[0], undos) is None)
    return _Places(next(standing, None), newest, by)


def _taken_back(run_id: RunId, undos: _Undos) -> RunId | None:
    """The run that undid it, unless that was undone itself."""
    by = reversed(undos.get(run_id, []))
    return next((one for one in by if _taken_back(one, undos) is None), None)


def studies_seen(
    tx: Transaction, catalog: CatalogRef, dataset_ids: Collection[DatasetId]
) -> dict[DatasetId, dict[VersionId, StudyId | None]]:
    """The last study that datasets were known to be in at each of their versions."""
    found: dict[DatasetId, dict[VersionId, StudyId | None]] = {}
    for these in groups(sorted(set(dataset_ids)), PAGE):
        key = {"of_catalog": catalog_key(catalog), "these": these}
        for dataset_id, after, state, planned in tx.execute(_PLANNED, key):
            known = found.setdefault(dataset_id, {})
            known.update(_studies(from_text(Planned, planned), ItemState(state), after))
    return found


def _studies(
    planned: Planned, state: ItemState, after: VersionId | None
) -> Iterator[tuple[VersionId, StudyId | None]]:
    """What one plan knew, and then did."""
    seen = planned.seen
    study = seen.study_id if seen else None
    if seen is not None:
        yield seen.version_id, study
    if state not in WRITTEN or planned.deletes:
        return
    made = after or (seen.version_id if seen else None)
    if made is not None:
        yield made, planned.study.study_id if planned.study else study
