"""Shards and who owns them: an owner and an epoch, checked at every commit."""

import json
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, null, select, update

from polly_core.errors import LedgerError, OwnershipLost, RunBusy
from polly_core.ledger import executions, runs, schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import Claim, ShardNo, ShardRow
from polly_core.ledger.texts import moment
from polly_core.ledger.transitions import OPEN
from polly_core.models.catalog import RunId
from polly_core.models.run import ExecutionId

_SHARD = schema.shards.c
_TALLY = schema.tallies.c
_ONE = select(_SHARD.owner, _SHARD.epoch, _SHARD.done).where(
    _SHARD.run_id == bindparam("of_run"), _SHARD.shard == bindparam("of_shard")
)
_ONE_LOCKED = _ONE.with_for_update(key_share=True)
_THIS = _SHARD.run_id == bindparam("of_run"), _SHARD.shard == bindparam("of_shard")
_TAKE = update(schema.shards).where(*_THIS).values(owner=bindparam("by"), epoch=_SHARD.epoch + 1)
_GIVE_UP = update(schema.shards).where(*_THIS).values(owner=null(), done=bindparam("is_done"))
_NOTHING = delete(schema.tallies).where(
    _TALLY.run_id == bindparam("of_run"),
    _TALLY.shard == bindparam("of_shard"),
    _TALLY["items"] == 0,
)
"""Every commit adds the tallies up: what says nothing is not to be read there."""
_LEFT = select(func.coalesce(func.sum(_TALLY["items"]), 0)).where(
    _TALLY.run_id == bindparam("of_run"),
    _TALLY.shard == bindparam("of_shard"),
    _TALLY.state.in_([state.value for state in OPEN]),
)


class Held(NamedTuple):
    """Who owns a shard."""

    owner: ExecutionId | None
    epoch: int
    done: bool


def shards(tx: Transaction, run_id: RunId, *, open_only: bool) -> list[ShardRow]:
    """Shards in order."""
    runs.ensure_exists(tx, run_id)
    statement = select(schema.shards).where(_SHARD.run_id == run_id).order_by(_SHARD.shard)
    if open_only:
        statement = statement.where(_SHARD.done.is_(False))
    return [_shard(row) for row in tx.execute(statement)]


def claim(tx: Transaction, run_id: RunId, shard: ShardNo, execution_id: ExecutionId) -> Claim:
    """Own the shard; every earlier claim of it is void from then on."""
    owner = _row(tx, run_id, shard).owner
    if owner is not None and owner != execution_id:
        must_be_free(tx, run_id, shard, owner)
        # Expired: it may never write again, so it is ended now and its time counted. This comes
        # before the shard is locked, as ``end_execution`` locks in this order too.
        executions.end(tx, owner)
    row = _row(tx, run_id, shard, lock=True)
    if row.owner is not None and row.owner != execution_id:
        must_be_free(tx, run_id, shard, row.owner)
    executions.must_live(tx, execution_id, run_id=run_id)
    epoch = row.epoch + 1
    tx.run(_TAKE, {"of_run": run_id, "of_shard": shard, "by": execution_id})
    return Claim(run_id=run_id, shard=shard, execution_id=execution_id, epoch=epoch)


def finish(tx: Transaction, claim: Claim) -> bool:
    """Give the shard up; answer whether it is done."""
    row = _row(tx, claim.run_id, claim.shard, lock=True)
    if row.owner is None and row.epoch == claim.epoch:
        return bool(row.done)
    _must_match(row, claim)
    key = {"of_run": claim.run_id, "of_shard": claim.shard}
    tx.run(_NOTHING, key)
    ((left,),) = tx.rows(_LEFT, key)
    done = int(left) == 0
    tx.run(_GIVE_UP, {**key, "is_done": done})
    return done


def must_own(tx: Transaction, claim: Claim) -> int:
    """Keep the shard from being taken over until this transaction ends; the time.

    Raises:
        OwnershipLost: it was taken over already, or the execution does not live.
    """
    _must_match(_row(tx, claim.run_id, claim.shard, lock=True), claim)
    return executions.must_live(tx, claim.execution_id, run_id=claim.run_id)


def must_be_free(tx: Transaction, run_id: RunId, shard: ShardNo, owner: ExecutionId) -> None:
    """Raises ``RunBusy`` while the owner of a shard lives."""
    row = tx.execute(
        select(schema.executions).where(schema.executions.c.execution_id == owner)
    ).one()
    if executions.lives(row, tx.now()):
        raise RunBusy(
            f"shard {shard} of run {run_id} is being worked on by {row.process} "
            f"(execution {owner}, good until {moment(row.expires_at):%H:%M:%S} UTC); "
            "wait for it or stop it, then resume the run"
        )


def _row(tx: Transaction, run_id: RunId, shard: ShardNo, *, lock: bool = False) -> Held:
    key = {"of_run": run_id, "of_shard": shard}
    row = tx.row(_ONE_LOCKED if lock else _ONE, key)
    if row is None:
        runs.ensure_exists(tx, run_id)
        raise LedgerError(f"run {run_id} has no shard {shard}")
    return Held(*row)


def _must_match(row: Held, claim: Claim) -> None:
    if row.owner == claim.execution_id and row.epoch == claim.epoch:
        return
    now_with = f"execution {row.owner}" if row.owner else "nobody"
    raise OwnershipLost(
        f"shard {claim.shard} of run {claim.run_id} was claimed by execution "
        f"{claim.execution_id} with epoch {claim.epoch}, found {now_with} with epoch {row.epoch}; "
        "this execution must stop"
    )


def _shard(row: Row[Any]) -> ShardRow:
    return ShardRow(
        run_id=row.run_id,
        shard=row.shard,
        first_seq=row.first_seq,
        size=row.size,
        pages=tuple(json.loads(row.pages)),
        owner=row.owner,
        epoch=row.epoch,
        done=row.done,
    )
