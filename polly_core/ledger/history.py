"""What earlier runs recorded of datasets."""

from collections import defaultdict
from collections.abc import Collection, Iterator

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
from polly_core.models.run import WRITTEN, ItemState, Planned

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
_PLANNED = (
    select(_ITEM.dataset_id, _ITEM.version_after, _ITEM.state, _PLAN.planned)
    .join(schema.runs, _RUN.run_id == _ITEM.run_id)
    .join(schema.plans, (_PLAN.run_id == _ITEM.run_id) & (_PLAN.seq == _ITEM.seq))
    .where(*_OF_CATALOG)
    .order_by(_RUN.created_at, _ITEM.run_id, _ITEM.seq)
)


def last_copies(
    tx: Transaction, source: CatalogRef, target: CatalogRef, dataset_ids: Collection[DatasetId]
) -> dict[DatasetId, ItemRow]:
    """The newest applied copy of each dataset from one atlas to another."""
    if (source.api_url, source.instance_id) != (target.api_url, target.instance_id):
        return {}
    key = {"of_catalog": catalog_key(target), "of_source": source.atlas_id}
    newest: dict[DatasetId, tuple[RunId, int]] = {}
    for these in groups(sorted(set(dataset_ids)), PAGE):
        for dataset_id, run_id, seq in tx.execute(_COPIES, {**key, "these": these}):
            newest[dataset_id] = (run_id, seq)
    by_run: defaultdict[RunId, list[int]] = defaultdict(list)
    for run_id, seq in newest.values():
        by_run[run_id].append(seq)
    return {
        row.dataset_id: row
        for run_id, seqs in by_run.items()
        for few in groups(seqs, PAGE)
        for row in items.get_each(tx, run_id, few)
    }


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
