"""Reading items: streamed by ``seq``, in pages that each are a transaction of their own."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, null, select

from polly_core.errors import LedgerError
from polly_core.ledger import schema, stepping
from polly_core.ledger.changes import STATES
from polly_core.ledger.database import Database, Transaction
from polly_core.ledger.rows import ItemRow, ShardNo
from polly_core.ledger.texts import from_text, groups, maybe_moment, texts
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import ItemState, Planned, StepResult

PAGE = 500
_ITEM = schema.items.c
_PLAN = schema.plans.c
_COLUMNS = [column for column in schema.items.c if column.name != "run_id"]
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
            page = _read(tx, wanted, after=after, size=size)
        yield from page.items()
        if len(page.rows) < size:
            return
        after = page.rows[-1][0]
        left = None if left is None else left - size


def get(tx: Transaction, run_id: RunId, seq: int) -> ItemRow:
    """One item."""
    found = get_each(tx, run_id, [seq])
    if not found:
        raise LedgerError(f"run {run_id} has no item {seq}")
    return found[0]


def get_each(tx: Transaction, run_id: RunId, seqs: Sequence[int]) -> list[ItemRow]:
    """These items, by ``seq``; no more than ``PAGE``."""
    return list(_read(tx, Wanted(run_id=run_id), these=seqs).items())


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
            found = tx.rows(_SEQS, {"of_run": wanted.run_id, "these": some})
        seqs += [seq for (seq,) in found if seq > after]
    for few in groups(sorted(seqs), PAGE):
        with database.reading() as tx:
            page = _read(tx, wanted, these=few)
        yield from page.items()


class _Page(NamedTuple):
    """Rows as they were read; each becomes an item when it is its turn."""

    rows: Sequence[tuple[Any, ...]]
    done: Mapping[int, Sequence[StepResult]]

    def items(self) -> Iterator[ItemRow]:
        for row in self.rows:
            yield _item(row, tuple(self.done.get(row[0], ())))


def _read(
    tx: Transaction,
    wanted: Wanted,
    *,
    after: int = -1,
    size: int = PAGE,
    these: Sequence[int] | None = None,
) -> _Page:
    statement = _statement(
        plans=wanted.plans,
        by_state=wanted.states is not None,
        in_shard=wanted.shard is not None,
        by_seq=these is not None,
    )
    key = {
        "of_run": wanted.run_id,
        "beyond": after,
        "size": size,
        "of_states": [state.value for state in wanted.states or ()],
        "of_shard": wanted.shard,
        "these": these,
    }
    rows = tx.rows(statement, key)
    done = stepping.done(tx, wanted.run_id, [row[0] for row in rows]) if wanted.plans else {}
    return _Page(rows, done)


@cache
def _statement(*, plans: bool, by_state: bool, in_shard: bool, by_seq: bool) -> Select[Any]:
    of_run = _ITEM.run_id == bindparam("of_run")
    statement = (
        select(*_COLUMNS, _PLAN.planned).outerjoin(
            schema.plans, (_PLAN.run_id == _ITEM.run_id) & (_PLAN.seq == _ITEM.seq)
        )
        if plans
        else select(*_COLUMNS, null())
    ).where(of_run)
    if by_state:
        statement = statement.where(_ITEM.state.in_(bindparam("of_states", expanding=True)))
    if in_shard:
        statement = statement.where(*_within())
    if by_seq:
        statement = statement.where(_ITEM.seq.in_(bindparam("these", expanding=True)))
    else:
        statement = statement.where(_ITEM.seq > bindparam("beyond")).limit(bindparam("size"))
    return statement.order_by(_ITEM.seq)


def _within() -> tuple[Any, Any]:
    """A shard's items are consecutive: a range of the key, so that no other shard is read."""
    of_shard = (schema.shards.c.run_id == bindparam("of_run")) & (
        schema.shards.c.shard == bindparam("of_shard")
    )
    first = select(schema.shards.c.first_seq).where(of_shard).scalar_subquery()
    end = select(schema.shards.c.first_seq + schema.shards.c.size).where(of_shard).scalar_subquery()
    return _ITEM.seq >= first, _ITEM.seq < end


def _item(columns: tuple[Any, ...], done: tuple[StepResult, ...]) -> ItemRow:
    (
        seq,
        shard,
        dataset_id,
        file_name,
        row,
        state,
        version_seen,
        version_after,
        reasons,
        inferred,
        attempt,
        sent_at,
        outcome_at,
        verified_at,
        planned,
    ) = columns
    return ItemRow(
        seq=seq,
        shard=shard,
        dataset_id=dataset_id,
        file_name=file_name,
        row=None if row is None else json.loads(row),
        state=STATES[state],
        planned=None if planned is None else from_text(Planned, planned),
        version_seen=version_seen,
        version_after=version_after,
        reasons=texts(reasons),
        inferred=bool(inferred),
        attempt=attempt,
        sent_at=maybe_moment(sent_at),
        outcome_at=maybe_moment(outcome_at),
        verified_at=maybe_moment(verified_at),
        done=done,
    )
