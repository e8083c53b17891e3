"""Reading items: streamed by ``seq``, in pages that each are a transaction of their own."""

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Row, Select, bindparam, func, null, select

from polly_core.errors import LedgerError
from polly_core.ledger import schema, stepping
from polly_core.ledger.database import Database, Transaction
from polly_core.ledger.rows import ItemRow, ShardNo
from polly_core.ledger.texts import from_text, groups, maybe_moment, texts
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import ItemState, Planned, StepResult

PAGE = 500
_ITEM = schema.items.c
_PLAN = schema.plans.c
_SEQS = select(_ITEM.seq).where(
    schema.of_datasets(bindparam("of_run"), bindparam("these", expanding=True))
)


class Wanted(Model):
    """Which items of a run; all of them where nothing else is said."""

    run_id: RunId
    states: frozenset[ItemState] | None = None
    shard: ShardNo | None = None
    plans: bool = True
    """Whether the plans are read too: they are most of what an item weighs."""
    dataset_ids: frozenset[DatasetId] | None = None


def stream(
    database: Database, wanted: Wanted, *, after: int = -1, limit: int | None = None
) -> Iterator[ItemRow]:
    """Items by ``seq``; memory holds one page of them."""
    if wanted.dataset_ids is not None:
        yield from islice(_of_datasets(database, wanted, after), limit)
        return
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        with database.reading() as tx:
            page = _read(tx, wanted, _statement(wanted, after).limit(size))
        yield from page
        if len(page) < size:
            return
        after = page[-1].seq
        left = None if left is None else left - size


def get(tx: Transaction, run_id: RunId, seq: int) -> ItemRow:
    """One item."""
    statement = _statement(Wanted(run_id=run_id), seq - 1).where(_ITEM.seq == seq)
    row = tx.execute(statement).one_or_none()
    if row is None:
        raise LedgerError(f"run {run_id} has no item {seq}")
    return _item(row, stepping.done(tx, run_id, [seq]).get(seq, ()))


def get_each(tx: Transaction, run_id: RunId, seqs: Collection[int]) -> list[ItemRow]:
    """These items, by ``seq``."""
    wanted = Wanted(run_id=run_id)
    return _read(tx, wanted, _statement(wanted, -1).where(_ITEM.seq.in_(seqs)))


def nth_planned(tx: Transaction, run_id: RunId, n: int) -> int | None:
    """The number of the n-th item that has a plan, counted from 0."""
    statement = select(_PLAN.seq).where(_PLAN.run_id == run_id).order_by(_PLAN.seq)
    found = tx.execute(statement.offset(n).limit(1)).scalar_one_or_none()
    return None if found is None else int(found)


def planned_count(tx: Transaction, run_id: RunId) -> int:
    """How many items have a plan."""
    statement = select(func.count()).select_from(schema.plans).where(_PLAN.run_id == run_id)
    return int(tx.execute(statement).scalar_one())


def _of_datasets(database: Database, wanted: Wanted, after: int) -> Iterator[ItemRow]:
    """The same, where few of many may be meant: their numbers are looked up first."""
    seqs: list[int] = []
    for some in groups(sorted(wanted.dataset_ids or ()), PAGE):
        with database.reading() as tx:
            seqs += tx.execute(_SEQS, {"of_run": wanted.run_id, "these": some}).scalars()
    for few in groups(sorted(seq for seq in seqs if seq > after), PAGE):
        with database.reading() as tx:
            page = _read(tx, wanted, _statement(wanted, -1).where(_ITEM.seq.in_(few)))
        yield from page


def _read(tx: Transaction, wanted: Wanted, statement: Select[Any]) -> list[ItemRow]:
    rows = tx.execute(statement).all()
    seqs = [row.seq for row in rows]
    done = stepping.done(tx, wanted.run_id, seqs) if wanted.plans else {}
    return [_item(row, done.get(row.seq, ())) for row in rows]


def _statement(wanted: Wanted, after: int) -> Select[Any]:
    statement = (
        select(schema.items, _PLAN.planned).outerjoin(
            schema.plans, (_PLAN.run_id == _ITEM.run_id) & (_PLAN.seq == _ITEM.seq)
        )
        if wanted.plans
        else select(schema.items, null().label("planned"))
    )
    statement = statement.where(_ITEM.run_id == wanted.run_id, _ITEM.seq > after)
    statement = statement.order_by(_ITEM.seq)
    if wanted.states is not None:
        statement = statement.where(_ITEM.state.in_(sorted(s.value for s in wanted.states)))
    if wanted.shard is not None:
        statement = statement.where(*_within(wanted.run_id, wanted.shard))
    return statement


def _within(run_id: RunId, shard: ShardNo) -> tuple[Any, Any]:
    """A shard's items are consecutive: a range of the key, so that no other shard is read."""
    of_shard = (schema.shards.c.run_id == run_id) & (schema.shards.c.shard == shard)
    first = select(schema.shards.c.first_seq).where(of_shard).scalar_subquery()
    end = select(schema.shards.c.first_seq + schema.shards.c.size).where(of_shard).scalar_subquery()
    return _ITEM.seq >= first, _ITEM.seq < end


def _item(row: Row[Any], done: Sequence[StepResult]) -> ItemRow:
    return ItemRow(
        seq=row.seq,
        shard=row.shard,
        dataset_id=row.dataset_id,
        file_name=row.file_name,
        row=None if row.row is None else json.loads(row.row),
        state=ItemState(row.state),
        planned=None if row.planned is None else from_text(Planned, row.planned),
        version_seen=row.version_seen,
        version_after=row.version_after,
        reasons=texts(row.reasons),
        inferred=row.inferred,
        attempt=row.attempt,
        sent_at=maybe_moment(row.sent_at),
        outcome_at=maybe_moment(row.outcome_at),
        verified_at=maybe_moment(row.verified_at),
        done=tuple(done),
    )
