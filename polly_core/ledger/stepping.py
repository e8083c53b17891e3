"""Steps of items that are done: recorded in order, each once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, delete, insert, select

from polly_core.errors import LedgerError
from polly_core.ledger import schema
from polly_core.ledger.changes import Changes
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import StepDone
from polly_core.ledger.texts import from_text, to_text
from polly_core.models.catalog import RunId
from polly_core.models.run import ItemState, StepResult

UNDER_WAY = frozenset({ItemState.SENT, ItemState.UNKNOWN, ItemState.PLANNED})
"""States of an item some of whose steps may have been done."""

_STEP = schema.steps.c
_INSERT = insert(schema.steps)
_THESE = (
    _STEP.run_id == bindparam("of_run"),
    _STEP.seq.in_(bindparam("of_seqs", expanding=True)),
)
_DONE = select(_STEP.seq, _STEP.result).where(*_THESE).order_by(_STEP.seq, _STEP.position)
_DROP = delete(schema.steps).where(*_THESE)


def record(tx: Transaction, run_id: RunId, changes: Changes, steps: Sequence[StepDone]) -> None:
    """Record steps after those recorded before; one recorded before changes nothing."""
    if not steps:
        return
    known = defaultdict(list, done(tx, run_id, {step.seq for step in steps}))
    rows = []
    for step in steps:
        before = known[step.seq]
        if _is_news(changes, step, before):
            key = {"run_id": run_id, "seq": step.seq, "position": len(before)}
            rows.append({**key, "result": to_text(step.result)})
            before.append(step.result)
    tx.execute_each(_INSERT, rows)


def done(tx: Transaction, run_id: RunId, seqs: Collection[int]) -> Mapping[int, list[StepResult]]:
    """Steps of these items that are done, in the order they were recorded."""
    found: defaultdict[int, list[StepResult]] = defaultdict(list)
    if seqs:
        for seq, result in tx.rows(_DONE, {"of_run": run_id, "of_seqs": list(seqs)}):
            found[seq].append(from_text(StepResult, result))
    return found


def drop(tx: Transaction, run_id: RunId, seqs: Collection[int]) -> None:
    """Forget the steps of items that are planned anew."""
    tx.run(_DROP, {"of_run": run_id, "of_seqs": list(seqs)})


def _is_news(changes: Changes, step: StepDone, before: Sequence[StepResult]) -> bool:
    known, result = changes.of(step.seq), step.result
    for recorded in before:
        if recorded == result:
            return False
        if recorded.step == result.step:
            raise LedgerError(
                f"step {result.step} of {known} is recorded with {_made(recorded)} and cannot be "
                f"recorded with {_made(result)}"
            )
    if known.state not in UNDER_WAY:
        raise LedgerError(
            f"{known} is {known.state.value} and no step of it can be recorded; expected "
            f"{', '.join(sorted(UNDER_WAY))}"
        )
    return True


def _made(result: StepResult) -> str:
    return f"object {result.location} and version {result.version_id}"
