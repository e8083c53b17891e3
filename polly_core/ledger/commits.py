"""Writing what was decided and what happened: all of a call, or nothing of it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import (
    ColumnElement,
    Update,
    bindparam,
    delete,
    false,
    insert,
    literal_column,
    null,
    select,
    update,
)

from polly_core.errors import LedgerError
from polly_core.ledger import claims, leases, runs, schema, stepping, transitions
from polly_core.ledger.changes import Changes, Known, add_to_tallies
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import Batch, Claim, PlanRow, ShardNo
from polly_core.ledger.texts import from_text, list_to_text, to_text
from polly_core.models.catalog import RunId, VersionId
from polly_core.models.run import (
    Decision,
    ExecutionId,
    Invalid,
    ItemState,
    Outcome,
    Planned,
    Skipped,
    StepResult,
    Unchanged,
)

_ITEM = schema.items.c
_PLAN = schema.plans.c
_SHARD = schema.shards.c

_DECIDE = (
    update(schema.items)
    .where(_ITEM.run_id == bindparam("of_run"), _ITEM.seq == bindparam("of_seq"))
    .values(
        state=bindparam("new_state"),
        version_seen=bindparam("seen"),
        reasons=bindparam("why"),
        outcome_at=bindparam("at"),
        version_after=null(),
        inferred=false(),
    )
)
_RECORD = (
    update(schema.items)
    .where(_ITEM.run_id == bindparam("of_run"), _ITEM.seq == bindparam("of_seq"))
    .values(
        state=bindparam("new_state"),
        version_after=bindparam("after"),
        reasons=bindparam("why"),
        inferred=bindparam("is_inferred"),
        outcome_at=bindparam("at"),
    )
)
_THESE = (
    _ITEM.run_id == bindparam("of_run"),
    _ITEM.seq.in_(bindparam("of_seqs", expanding=True)),
)
_SEND = (
    update(schema.items)
    .where(*_THESE)
    .values(
        state=literal_column(f"'{ItemState.SENT.value}'"),
        attempt=_ITEM.attempt + literal_column("1"),
        sent_at=bindparam("at"),
    )
)
_VERIFY = update(schema.items).where(*_THESE).values(verified_at=bindparam("at"))
_INSERT_PLANS = insert(schema.plans)
_DROP_PLANS = delete(schema.plans).where(
    _PLAN.run_id == bindparam("of_run"), _PLAN.seq.in_(bindparam("of_seqs", expanding=True))
)
_MADE = frozenset({ItemState.APPLIED, ItemState.CONFLICT})
"""States whose version is a fact that does not change."""


def record_plans(tx: Transaction, claim: Claim, rows: Sequence[PlanRow]) -> None:
    """Commit what was decided for items."""
    now = claims.must_own(tx, claim)
    if not rows:
        return
    changes = Changes(tx, claim, (row.seq for row in rows))
    had_plans = [row.seq for row in rows if changes.of(row.seq).state is not ItemState.SELECTED]
    decided, planned = [], []
    for row in rows:
        known, (state, seen, reasons) = changes.of(row.seq), _decided(row.decision)
        if state is not known.state:
            changes.move(known, state)
        decided.append(
            {
                "of_run": claim.run_id,
                "of_seq": row.seq,
                "new_state": state.value,
                "seen": seen,
                "why": list_to_text(reasons),
                "at": None if state is ItemState.PLANNED else now,
            }
        )
        if isinstance(row.decision, Planned):
            text = to_text(row.decision)
            planned.append({"run_id": claim.run_id, "seq": row.seq, "planned": text})
    tx.execute_each(_DECIDE, decided)
    if had_plans:
        tx.run(_DROP_PLANS, {"of_run": claim.run_id, "of_seqs": had_plans})
        stepping.drop(tx, claim.run_id, had_plans)
    tx.execute_each(_INSERT_PLANS, planned)
    changes.write_tallies(tx)


def commit(tx: Transaction, claim: Claim, batch: Batch) -> None:
    """Commit steps, then outcomes, sent, verified and freed."""
    now = claims.must_own(tx, claim)
    touched = [
        *(done.seq for done in batch.steps),
        *(outcome.seq for outcome in batch.outcomes),
        *batch.sent,
        *batch.verified,
    ]
    changes = Changes(tx, claim, touched)
    # Before the outcomes: an item's last step may come together with its outcome.
    stepping.record(tx, claim.run_id, changes, batch.steps)
    _record_outcomes(tx, claim, changes, batch.outcomes, now)
    _record_sent(tx, claim, changes, batch.sent, now)
    _record_verified(tx, claim, changes, batch.verified, now)
    changes.write_tallies(tx)
    leases.release(tx, claim.run_id, batch.freed)


def reopen(tx: Transaction, run_id: RunId, states: frozenset[ItemState]) -> int:
    """Let items that ended so be planned again, or go on where they were begun; answer how many.

    What has changed the catalog already keeps its plan: it knows what stood there before. The
    plan as a whole is another then, and has no digest until it is made.
    """
    transitions.check_reopening(run_id, states)
    wanted = [_ITEM.run_id == run_id, _ITEM.state.in_(sorted(state.value for state in states))]
    owners = _lock_owners(tx, run_id)
    found = tx.execute(select(_ITEM.seq, _ITEM.shard, _ITEM.state).where(*wanted)).all()
    begun = _begun(tx, run_id, wanted)
    moved: defaultdict[ShardNo, Counter[ItemState]] = defaultdict(Counter)
    for seq, shard, state in found:
        moved[shard][ItemState(state)] -= 1
        moved[shard][ItemState.PLANNED if seq in begun else ItemState.SELECTED] += 1
    for shard in moved:
        if (owner := owners[shard]) is not None:
            claims.must_be_free(tx, run_id, shard, owner)
    for table in (schema.steps, schema.plans):
        column = table.c
        seqs = column.seq.in_(select(_ITEM.seq).where(*wanted, _ITEM.seq.not_in(begun)))
        tx.execute(delete(table).where(column.run_id == run_id, seqs))
    fresh = {"reasons": "[]", "outcome_at": None}
    going_on = {**fresh, "state": ItemState.PLANNED.value}
    tx.execute(update(schema.items).where(*wanted, _ITEM.seq.in_(begun)).values(going_on))
    selected = {**fresh, "state": ItemState.SELECTED.value, "version_after": None}
    tx.execute(update(schema.items).where(*wanted).values(selected))
    for shard, deltas in moved.items():
        add_to_tallies(tx, run_id, shard, deltas, {})
    tx.execute(
        update(schema.shards)
        .where(_SHARD.run_id == run_id, _SHARD.shard.in_(sorted(moved)))
        .values(done=False)
    )
    if found:
        runs.change(tx, run_id, {"plan_digest": None})
    return len(found)


def _begun(tx: Transaction, run_id: RunId, wanted: Sequence[ColumnElement[bool]]) -> set[int]:
    """Items of which a step has changed the catalog."""
    steps = schema.steps.c
    rows = tx.execute(
        select(steps.seq, steps.result).where(
            steps.run_id == run_id, steps.seq.in_(select(_ITEM.seq).where(*wanted))
        )
    )
    return {seq for seq, result in rows if from_text(StepResult, result).changes_catalog}


def _record_outcomes(
    tx: Transaction, claim: Claim, changes: Changes, outcomes: Sequence[Outcome], now: int
) -> None:
    rows = [
        {
            "of_run": claim.run_id,
            "of_seq": outcome.seq,
            "new_state": outcome.state.value,
            "after": outcome.version_after,
            "why": list_to_text(outcome.reasons),
            "is_inferred": outcome.inferred,
            "at": None if outcome.state is ItemState.PLANNED else now,
        }
        for outcome in outcomes
        if _is_news(changes, outcome)
    ]
    tx.execute_each(_RECORD, rows)


def _is_news(changes: Changes, outcome: Outcome) -> bool:
    """Move the item, unless this outcome is recorded already."""
    known = changes.of(outcome.seq)
    if outcome.state not in transitions.OUTCOMES or (
        known.state is ItemState.SELECTED and outcome.state is ItemState.PLANNED
    ):
        raise LedgerError(
            f"{known} is {known.state.value} and {outcome.state.value} is no outcome of that; "
            "plans are recorded by record_plans, writes as sent"
        )
    if known.state is not outcome.state:
        changes.move(known, outcome.state)
        known.version_after = outcome.version_after
        return True
    if known.version_after == outcome.version_after:
        return False
    if known.state not in _MADE:
        # A step was found done in between, and its version came to be known.
        known.version_after = outcome.version_after
        return True
    raise LedgerError(
        f"{known} is {known.state.value} with version {known.version_after} and cannot become "
        f"{outcome.state.value} with version {outcome.version_after}"
    )


def _record_sent(
    tx: Transaction, claim: Claim, changes: Changes, seqs: Iterable[int], now: int
) -> None:
    sent = []
    for known in map(changes.of, seqs):
        if known.state is not ItemState.SENT:
            changes.move(known, ItemState.SENT)
            sent.append(known)
    _stamp(tx, claim, _SEND, sent, now)


def _record_verified(
    tx: Transaction, claim: Claim, changes: Changes, seqs: Iterable[int], now: int
) -> None:
    verified = [known for known in map(changes.of, seqs) if changes.verify(known)]
    _stamp(tx, claim, _VERIFY, verified, now)


def _stamp(
    tx: Transaction, claim: Claim, statement: Update, items: Sequence[Known], now: int
) -> None:
    if items:
        seqs = [known.seq for known in items]
        tx.run(statement, {"of_run": claim.run_id, "of_seqs": seqs, "at": now})


def _decided(decision: Decision) -> tuple[ItemState, VersionId | None, tuple[str, ...]]:
    """State, version seen and reasons that a decision gives an item."""
    match decision:
        case Planned():
            return ItemState.PLANNED, decision.version_seen, ()
        case Unchanged():
            return ItemState.UNCHANGED, decision.version_seen, ()
        case Skipped():
            return ItemState.SKIPPED, None, (decision.reason,)
        case Invalid():
            return ItemState.INVALID, decision.version_seen, decision.reasons


def _lock_owners(tx: Transaction, run_id: RunId) -> dict[ShardNo, ExecutionId | None]:
    statement = (
        select(_SHARD.shard, _SHARD.owner)
        .where(_SHARD.run_id == run_id)
        .order_by(_SHARD.shard)
        .with_for_update(key_share=True)
    )
    return {row.shard: row.owner for row in tx.execute(statement)}
