"""Executions: processes at work on a run, alive as long as the database's clock says."""

from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, insert, select, update

from polly_core.errors import LedgerError, OwnershipLost
from polly_core.ledger import runs, schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import ExecutionRow, Pace
from polly_core.ledger.texts import from_text, maybe_moment, moment, plain, to_text
from polly_core.models.catalog import RunId
from polly_core.models.run import ExecutionId

_EXECUTION = schema.executions.c
_OF_RUN = select(_EXECUTION.ended_at, _EXECUTION.expires_at).where(
    _EXECUTION.execution_id == bindparam("of_execution"),
    _EXECUTION.run_id == bindparam("of_run"),
)


class Term(NamedTuple):
    """How long an execution lives."""

    ended_at: int | None
    expires_at: int


def begin(
    tx: Transaction,
    run_id: RunId,
    execution_id: ExecutionId,
    process: str,
    *,
    lease_seconds: float,
) -> ExecutionId:
    """Register a process that executes the run."""
    runs.ensure_exists(tx, run_id)
    now = tx.now()
    tx.execute(
        insert(schema.executions),
        {
            "execution_id": execution_id,
            "run_id": run_id,
            "process": plain(process),
            "started_at": now,
            "expires_at": now + _milliseconds(lease_seconds),
        },
    )
    return execution_id


def renew(tx: Transaction, execution_id: ExecutionId, *, lease_seconds: float) -> None:
    """Let it live for so long from now."""
    statement = (
        select(schema.executions)
        .where(_EXECUTION.execution_id == execution_id)
        .with_for_update(key_share=True)
    )
    row = tx.execute(statement).one_or_none()
    now = tx.now()
    if row is None or not lives(row, now):
        raise OwnershipLost(_why_lost(execution_id, row, now))
    tx.execute(
        update(schema.executions)
        .where(_EXECUTION.execution_id == execution_id)
        .values(expires_at=now + _milliseconds(lease_seconds))
    )


def tell_pace(tx: Transaction, execution_id: ExecutionId, pace: Pace) -> None:
    """Record how fast it goes, unless it has ended."""
    tx.execute(
        update(schema.executions)
        .where(_EXECUTION.execution_id == execution_id, _EXECUTION.ended_at.is_(None))
        .values(pace=to_text(pace), pace_at=tx.now())
    )


def end(tx: Transaction, execution_id: ExecutionId) -> None:
    """Free its shards and leases and count its time as the run's; once."""
    mine = _EXECUTION.execution_id == execution_id
    row = tx.execute(
        select(schema.executions).where(mine).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise LedgerError(f"no execution {execution_id} in this ledger")
    if row.ended_at is not None:
        return
    # One that expired may have died at any time before; it worked no longer than its lease.
    ended_at = min(tx.now(), row.expires_at)
    tx.execute(update(schema.executions).where(mine).values(ended_at=ended_at))
    tx.execute(
        update(schema.shards).where(schema.shards.c.owner == execution_id).values(owner=None)
    )
    tx.execute(delete(schema.leases).where(schema.leases.c.execution_id == execution_id))
    _count_time(tx, row.run_id)


def _count_time(tx: Transaction, run_id: RunId) -> None:
    """The run's time is that in which any process executed it; several at once count once."""
    run = schema.runs.c.run_id == run_id
    # Two that end at the same moment count one after the other.
    tx.execute(select(schema.runs.c.run_id).where(run).with_for_update()).one()
    ended = (
        select(_EXECUTION.started_at, _EXECUTION.ended_at)
        .where(_EXECUTION.run_id == run_id, _EXECUTION.ended_at.is_not(None))
        .order_by(_EXECUTION.started_at)
    )
    total = counted_until = 0
    for started_at, ended_at in tx.execute(ended).all():
        total += max(0, ended_at - max(started_at, counted_until))
        counted_until = max(counted_until, ended_at)
    tx.execute(update(schema.runs).where(run).values(seconds=total / 1000))


def of_run(tx: Transaction, run_id: RunId, *, living: bool) -> list[ExecutionRow]:
    """Executions of the run, oldest first."""
    statement = (
        select(schema.executions)
        .where(_EXECUTION.run_id == run_id)
        .order_by(_EXECUTION.started_at, _EXECUTION.execution_id)
    )
    rows = tx.execute(statement).all()
    now = tx.now()
    return [_execution(row) for row in rows if not living or lives(row, now)]


def lives(row: Row[Any] | Term, now: int) -> bool:
    """Whether an execution's row says that it may go on."""
    return row.ended_at is None and row.expires_at > now


def must_live(tx: Transaction, execution_id: ExecutionId, *, run_id: RunId) -> int:
    """The time. Raises ``OwnershipLost`` unless the execution is one of the run and lives."""
    key = {"of_execution": execution_id, "of_run": run_id}
    found = tx.row(_OF_RUN, key)
    now = tx.now()
    term = None if found is None else Term(*found)
    if term is None or not lives(term, now):
        raise OwnershipLost(_why_lost(execution_id, term, now))
    return now


def _why_lost(execution_id: ExecutionId, row: Row[Any] | Term | None, now: int) -> str:
    if row is None:
        why = "it is not known for this run"
    elif row.ended_at is not None:
        why = f"it was ended at {moment(row.ended_at):%Y-%m-%d %H:%M:%S} UTC"
    else:
        why = f"it was not renewed in time and expired {(now - row.expires_at) / 1000:.1f} s ago"
    return (
        f"execution {execution_id} may not go on: {why}; another may have taken over. Resume the "
        "run to take it up again"
    )


def _execution(row: Row[Any]) -> ExecutionRow:
    return ExecutionRow(
        execution_id=row.execution_id,
        run_id=row.run_id,
        process=row.process,
        started_at=moment(row.started_at),
        expires_at=moment(row.expires_at),
        ended_at=maybe_moment(row.ended_at),
        pace=None if row.pace is None else from_text(Pace, row.pace),
        pace_at=maybe_moment(row.pace_at),
    )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
