"""Leases: two runs on one ledger never write one dataset at the same time."""

from collections.abc import Iterable, Sequence

from sqlalchemy import BindParameter, bindparam, delete, select, update

from polly_core.ledger import claims, schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import Claim, Holders, Unsettled
from polly_core.ledger.schema import IN_DOUBT
from polly_core.ledger.texts import maybe_moment
from polly_core.ledger.transitions import OPEN
from polly_core.models.catalog import DatasetId, RunId

_LEASE = schema.leases.c
_EXECUTION = schema.executions.c
_ITEM = schema.items.c
_RUN = schema.runs.c
_TAKE = schema.insert_if_absent(schema.leases)
_STEAL = (
    update(schema.leases)
    .where(
        _LEASE.catalog_key == bindparam("of_catalog"),
        _LEASE.dataset_id.in_(bindparam("these", expanding=True)),
    )
    .values(run_id=bindparam("by_run"), execution_id=bindparam("by_execution"))
)
_OF_RUN: BindParameter[str] = bindparam("of_run")
_THESE: BindParameter[str] = bindparam("these", expanding=True)
_STILL_OPEN = select(_ITEM.dataset_id).where(
    schema.of_datasets(_OF_RUN, _THESE),
    _ITEM.file_name != "",
    _ITEM.state.in_([state.value for state in OPEN]),
)
_CATALOG_KEY = select(_RUN.catalog_key).where(_RUN.run_id == _OF_RUN)
_HOLDING = (
    select(
        _LEASE.dataset_id,
        _LEASE.run_id,
        _LEASE.execution_id,
        _EXECUTION.ended_at,
        _EXECUTION.expires_at,
    )
    .join(schema.executions, _EXECUTION.execution_id == _LEASE.execution_id)
    .where(_LEASE.catalog_key == bindparam("of_catalog"), _LEASE.dataset_id.in_(_THESE))
    .order_by(_LEASE.dataset_id)
    .with_for_update(key_share=True, of=schema.leases)
)
_UNSETTLED = (
    select(_ITEM.dataset_id, _ITEM.run_id, _ITEM.seq, _ITEM.sent_at)
    .join(schema.runs, _RUN.run_id == _ITEM.run_id)
    .where(
        _ITEM.dataset_id.in_(_THESE),
        IN_DOUBT,
        _RUN.run_id != _OF_RUN,
        _RUN.catalog_key == bindparam("of_catalog"),
    )
    .order_by(_ITEM.sent_at)
)
_FREE = delete(schema.leases).where(
    _LEASE.catalog_key == _CATALOG_KEY.scalar_subquery(),
    _LEASE.dataset_id.in_(_THESE),
    _LEASE.run_id == _OF_RUN,
    _LEASE.dataset_id.not_in(_STILL_OPEN),
)


def take(tx: Transaction, claim: Claim, dataset_ids: Sequence[DatasetId]) -> Holders:
    """Lease as many as can be had; answer who holds the others."""
    claims.must_own(tx, claim)
    # In one order, so that two who want the same datasets wait for and do not block each other.
    wanted = sorted(set(dataset_ids))
    if not wanted:
        return Holders()
    catalog = _catalog_key(tx, claim.run_id)
    mine = {"run_id": claim.run_id, "execution_id": claim.execution_id}
    tx.execute_each(
        _TAKE,
        [{"catalog_key": catalog, "dataset_id": dataset_id, **mine} for dataset_id in wanted],
    )
    holding = tx.rows(_HOLDING, {"of_catalog": catalog, "these": wanted})
    now = tx.now()
    held: dict[DatasetId, RunId] = {}
    dead: list[DatasetId] = []
    for dataset_id, run_id, execution_id, ended_at, expires_at in holding:
        if run_id != claim.run_id and ended_at is None and expires_at > now:
            held[dataset_id] = run_id
        elif execution_id != claim.execution_id:
            dead.append(dataset_id)
    if dead:
        owner = {"by_run": claim.run_id, "by_execution": claim.execution_id}
        tx.run(_STEAL, {"of_catalog": catalog, "these": dead, **owner})
    granted = [dataset_id for dataset_id in wanted if dataset_id not in held]
    return Holders(by_dataset=held, unsettled=_unsettled(tx, catalog, claim.run_id, granted))


def release(tx: Transaction, run_id: RunId, dataset_ids: Iterable[DatasetId]) -> None:
    """Give leases of a run up, except of a dataset that has a further open file in it."""
    freed = sorted(set(dataset_ids))
    if not freed:
        return
    tx.run(_FREE, {"of_run": run_id, "these": freed})


def _catalog_key(tx: Transaction, run_id: RunId) -> str:
    ((key,),) = tx.rows(_CATALOG_KEY, {"of_run": run_id})
    return str(key)


def _unsettled(
    tx: Transaction, catalog: str, run_id: RunId, dataset_ids: Sequence[DatasetId]
) -> dict[DatasetId, Unsettled]:
    """Writes of other runs to these datasets that were sent and whose outcome nobody knows."""
    key = {"of_run": run_id, "of_catalog": catalog, "these": dataset_ids}
    return {
        dataset_id: Unsettled(run_id=other, seq=seq, sent_at=maybe_moment(sent_at))
        for dataset_id, other, seq, sent_at in tx.rows(_UNSETTLED, key)
    }
