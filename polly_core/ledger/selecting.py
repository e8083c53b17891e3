"""Freezing a selection: shard by shard, then sealed."""

import json

from sqlalchemy import bindparam, delete, false, func, insert, literal_column, select

from polly_core.errors import LedgerError
from polly_core.ledger import runs, schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import NewShard, ShardNo
from polly_core.ledger.texts import list_to_text
from polly_core.models.catalog import RunId
from polly_core.models.run import Item, ItemState

_SHARD = schema.shards.c
_ITEM = schema.items.c
_INSERT_ITEMS = insert(schema.items).values(
    run_id=bindparam("of_run"),
    seq=bindparam("of_seq"),
    shard=bindparam("of_shard"),
    dataset_id=bindparam("of_dataset"),
    file_name=bindparam("of_file"),
    row=bindparam("given_row"),
    state=literal_column(f"'{ItemState.SELECTED.value}'"),
    reasons=literal_column("'[]'"),
    inferred=false(),
    attempt=literal_column("0"),
)
_FROZEN = (
    select(_ITEM.shard, _ITEM.seq, _ITEM.dataset_id, _ITEM.file_name)
    .where(
        _ITEM.run_id == bindparam("of_run"),
        _ITEM.seq.between(bindparam("first"), bindparam("last")),
    )
    .order_by(_ITEM.seq)
)
_SO_FAR = select(func.count(), func.coalesce(func.sum(_SHARD.size), 0)).where(
    _SHARD.run_id == bindparam("of_run")
)
_OF_DATASETS = select(_ITEM.seq, _ITEM.dataset_id, _ITEM.file_name).where(
    schema.of_datasets(bindparam("of_run"), bindparam("these", expanding=True))
)


def add_shard(tx: Transaction, run_id: RunId, shard: NewShard) -> None:
    """Freeze one shard's items."""
    _must_be_open(tx, run_id)
    if _is_frozen(tx, run_id, shard):
        return
    _must_follow(tx, run_id, shard)
    _must_be_new(tx, run_id, shard)
    tx.execute(
        insert(schema.shards),
        {
            "run_id": run_id,
            "shard": shard.shard,
            "first_seq": shard.items[0].seq,
            "size": len(shard.items),
            "pages": list_to_text(shard.pages),
            "epoch": 0,
            "done": False,
        },
    )
    tx.execute_each(_INSERT_ITEMS, [_row(run_id, shard.shard, item) for item in shard.items])
    tx.execute(
        insert(schema.tallies),
        {
            "run_id": run_id,
            "shard": shard.shard,
            "state": ItemState.SELECTED.value,
            "items": len(shard.items),
            "verified": 0,
        },
    )


def discard(tx: Transaction, run_id: RunId) -> None:
    """Drop what an interrupted selection left."""
    _must_be_open(tx, run_id)
    for table in (schema.tallies, schema.steps, schema.plans, schema.items, schema.shards):
        tx.execute(delete(table).where(table.c.run_id == run_id))


def seal(tx: Transaction, run_id: RunId) -> int:
    """End the selection and answer its total."""
    run = runs.lock(tx, run_id)
    if run.total is not None:
        return run.total
    _, total = _frozen_so_far(tx, run_id)
    runs.freeze(tx, run_id, total)
    return total


def _must_be_open(tx: Transaction, run_id: RunId) -> None:
    run = runs.lock(tx, run_id)
    if run.total is not None:
        raise LedgerError(
            f"the selection of run {run_id} is sealed with {run.total} items and stays as it is; "
            "start another run to select again"
        )


def _frozen_so_far(tx: Transaction, run_id: RunId) -> tuple[int, int]:
    """How many shards and items."""
    ((shards, items),) = tx.rows(_SO_FAR, {"of_run": run_id})
    return int(shards), int(items)


def _is_frozen(tx: Transaction, run_id: RunId, shard: NewShard) -> bool:
    """Whether exactly these items were frozen as this shard before."""
    first, last = (shard.items[0].seq, shard.items[-1].seq) if shard.items else (0, -1)
    frozen = tx.rows(_FROZEN, {"of_run": run_id, "first": first, "last": last})
    given = [(shard.shard, item.seq, item.dataset_id, item.file_name) for item in shard.items]
    return bool(given) and frozen == given


def _must_follow(tx: Transaction, run_id: RunId, shard: NewShard) -> None:
    number, first = _frozen_so_far(tx, run_id)
    expected = list(range(first, first + len(shard.items)))
    if not shard.items or shard.shard != number or [i.seq for i in shard.items] != expected:
        found = f"{shard.items[0].seq} to {shard.items[-1].seq}" if shard.items else "none"
        raise LedgerError(
            f"shard {shard.shard} of run {run_id} does not follow on what is frozen: expected "
            f"shard {number} with items from {first} on without a gap, found items {found}; "
            "discard the selection and begin it again"
        )


def _must_be_new(tx: Transaction, run_id: RunId, shard: NewShard) -> None:
    """The database refuses duplicates as well; this names them."""
    key = {"of_run": run_id, "these": sorted({item.dataset_id for item in shard.items})}
    seen = {(dataset, file): seq for seq, dataset, file in tx.rows(_OF_DATASETS, key)}
    for item in shard.items:
        first = seen.setdefault((item.dataset_id, item.file_name), item.seq)
        if first != item.seq:
            file = f" file {item.file_name!r}" if item.file_name else ""
            raise LedgerError(
                f"dataset {item.dataset_id!r}{file} is twice in the selection of run {run_id}: as "
                f"item {first} and as item {item.seq}; leave one of them out"
            )


def _row(run_id: RunId, shard: ShardNo, item: Item) -> dict[str, object]:
    return {
        "of_run": run_id,
        "of_seq": item.seq,
        "of_shard": shard,
        "of_dataset": item.dataset_id,
        "of_file": item.file_name,
        "given_row": None if item.row is None else json.dumps(item.row),
    }
