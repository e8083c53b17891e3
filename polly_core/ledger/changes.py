"""Changing the states of items together with the tallies, in one transaction."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, text

from polly_core.errors import LedgerError
from polly_core.ledger import schema, transitions
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import Claim, ShardNo
from polly_core.models.catalog import RunId
from polly_core.models.run import ENDED_WELL, ItemState

VERIFIABLE = ENDED_WELL | {ItemState.CONFLICT}
_ITEM = schema.items.c
_TOUCHED = select(
    _ITEM.seq, _ITEM.dataset_id, _ITEM.state, _ITEM.version_after, _ITEM.verified_at
).where(
    _ITEM.run_id == bindparam("of_run"),
    # A range, not a list: the items of a batch stand together, and lists cost a bind each.
    _ITEM.seq.between(bindparam("first"), bindparam("last")),
    _ITEM.shard == bindparam("of_shard"),
)
STATES: Mapping[str, ItemState] = {state.value: state for state in ItemState}
_ADD = text(
    f"{insert(schema.tallies)} ON CONFLICT (run_id, shard, state) DO UPDATE SET "
    "items = tallies.items + excluded.items, verified = tallies.verified + excluded.verified"
)
"""As text: SQLAlchemy compiles an upsert of its own anew each time, at the cost of a commit."""


@dataclass(slots=True)
class Known:
    """An item as this transaction leaves it so far."""

    seq: int
    dataset_id: str
    state: ItemState
    version_after: str | None
    verified: bool
    run_id: str

    def __str__(self) -> str:
        return f"item {self.seq} (dataset {self.dataset_id!r}) of run {self.run_id}"


class Changes:
    """The items of one shard that a transaction changes, and what that does to the tallies."""

    def __init__(self, tx: Transaction, claim: Claim, seqs: Iterable[int]) -> None:
        self._claim = claim
        self._items = _read(tx, claim, frozenset(seqs))
        self._moved: Counter[ItemState] = Counter()
        self._verified: Counter[ItemState] = Counter()

    def of(self, seq: int) -> Known:
        """The item. Raises ``LedgerError`` where the shard has none with this number."""
        known = self._items.get(seq)
        if known is None:
            raise LedgerError(
                f"shard {self._claim.shard} of run {self._claim.run_id} has no item {seq}"
            )
        return known

    def move(self, known: Known, state: ItemState) -> None:
        """Put an item into another state. Raises ``LedgerError`` where it may not go there."""
        transitions.check(known, known.state, state)
        self._moved[known.state] -= 1
        self._moved[state] += 1
        if known.verified:
            self._verified[known.state] -= 1
            self._verified[state] += 1
        known.state = state

    def verify(self, known: Known) -> bool:
        """Mark an item as verified; answer whether it was not before."""
        if known.state not in VERIFIABLE:
            raise LedgerError(
                f"{known} is {known.state.value} and cannot be verified; expected "
                f" {', '.join(sorted(VERIFIABLE))}"
            )
        if known.verified:
            return False
        known.verified = True
        self._verified[known.state] += 1
        return True

    def write_tallies(self, tx: Transaction) -> None:
        """Add up what was changed."""
        add_to_tallies(tx, self._claim.run_id, self._claim.shard, self._moved, self._verified)


def add_to_tallies(
    tx: Transaction,
    run_id: RunId,
    shard: ShardNo,
    moved: Mapping[ItemState, int],
    verified: Mapping[ItemState, int],
) -> None:
    """Add to a shard's totals by state."""
    deltas = [
        {
            "run_id": run_id,
            "shard": shard,
            "state": state.value,
            "items": moved.get(state, 0),
            "verified": verified.get(state, 0),
        }
        for state in ItemState
        if moved.get(state, 0) or verified.get(state, 0)
    ]
    tx.execute_each(_ADD, deltas)


def _read(tx: Transaction, claim: Claim, seqs: frozenset[int]) -> dict[int, Known]:
    if not seqs:
        return {}
    key = {
        "of_run": claim.run_id,
        "of_shard": claim.shard,
        "first": min(seqs),
        "last": max(seqs),
    }
    run_id = claim.run_id
    return {
        seq: Known(seq, dataset_id, STATES[state], after, verified_at is not None, run_id)
        for seq, dataset_id, state, after, verified_at in tx.rows(_TOUCHED, key)
        if seq in seqs
    }
