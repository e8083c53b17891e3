"""A run's totals, and what an operator wants of it."""

from sqlalchemy import bindparam, func, select, update

from polly_core.errors import RunNotFound
from polly_core.ledger import schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import Control, Standing, Wanted
from polly_core.models.catalog import RunId
from polly_core.models.run import Counts, ItemState

_CONTROL = schema.control.c
_TALLY = schema.tallies.c
_OF_RUN = select(_CONTROL.wanted, _CONTROL.concurrency).where(
    _CONTROL.run_id == bindparam("of_run")
)
_TOTALS = (
    select(_TALLY.state, func.sum(_TALLY["items"]), func.sum(_TALLY.verified))
    .where(_TALLY.run_id == bindparam("of_run"))
    .group_by(_TALLY.state)
)


def get(tx: Transaction, run_id: RunId) -> Control:
    """What an operator wants of the run."""
    row = tx.row(_OF_RUN, {"of_run": run_id})
    if row is None:
        raise RunNotFound(f"no run {run_id!r} in this ledger; 'polly-bulk runs' lists those it has")
    wanted, concurrency = row
    return Control(wanted=Wanted(wanted), concurrency=concurrency)


def put(tx: Transaction, run_id: RunId, wanted: Control) -> None:
    """Say what is wanted of the run."""
    get(tx, run_id)
    tx.execute(
        update(schema.control)
        .where(_CONTROL.run_id == run_id)
        .values(wanted=wanted.wanted.value, concurrency=wanted.concurrency)
    )


def counts(tx: Transaction, run_id: RunId) -> Counts:
    """The run's items by state, from the tallies: O(shards), not O(items)."""
    rows = tx.rows(_TOTALS, {"of_run": run_id})
    return Counts(
        by_state={ItemState(state): int(items) for state, items, _ in rows if items},
        verified=sum(int(verified) for _, _, verified in rows),
    )


def standing(tx: Transaction, run_id: RunId) -> Standing:
    """The run's totals and control."""
    return Standing(control=get(tx, run_id), counts=counts(tx, run_id))
