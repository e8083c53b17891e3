"""Approvals of plans and of their waves, each bound to the digest that was approved."""

from sqlalchemy import select

from polly_core.errors import InvalidInput, LedgerError, RunMismatch
from polly_core.ledger import runs, schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import Approved
from polly_core.ledger.texts import moment, plain
from polly_core.models.catalog import RunId

_APPROVAL = schema.approvals.c
_APPROVE = schema.insert_if_absent(schema.approvals)


def approve(tx: Transaction, run_id: RunId, plan_digest: str, wave: int, by: str) -> None:
    """Record somebody's approval; the first of a plan and wave stays."""
    if wave < 0:
        raise InvalidInput(f"waves count from 1, and 0 is the plan as a whole; found {wave}")
    if not by.strip():
        raise InvalidInput(f"an approval of run {run_id} needs to say who approves; found {by!r}")
    planned = runs.lock(tx, run_id).plan_digest
    if planned is None:
        raise LedgerError(f"run {run_id} has no plan yet that could be approved; plan it first")
    if planned != plan_digest:
        raise RunMismatch(
            f"the plan of run {run_id} is {planned}, the approval is for {plan_digest}; look at "
            "the plan as it is now and approve that"
        )
    row = {"run_id": run_id, "plan_digest": plan_digest, "wave": wave}
    tx.execute(_APPROVE, {**row, "approved_by": plain(by), "approved_at": tx.now()})


def of_run(tx: Transaction, run_id: RunId) -> list[Approved]:
    """Approvals of the run, oldest first."""
    runs.ensure_exists(tx, run_id)
    order = (_APPROVAL.approved_at, _APPROVAL.wave)
    statement = select(schema.approvals).where(_APPROVAL.run_id == run_id).order_by(*order)
    return [
        Approved(
            plan_digest=row.plan_digest,
            wave=row.wave,
            by=row.approved_by,
            at=moment(row.approved_at),
        )
        for row in tx.execute(statement)
    ]
