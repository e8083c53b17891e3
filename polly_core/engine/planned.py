"""The plan of a run as the ledger holds it, and plans that come from a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from polly_core.errors import RunMismatch
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow, NewShard, PlanRow, RunRow, ShardNo
from polly_core.models.catalog import RunId
from polly_core.models.run import (
    Decision,
    ExecutionId,
    Invalid,
    Item,
    ItemState,
    Skipped,
    Unchanged,
)
from polly_core.planning.plan import (
    PlanDigest,
    PlanFile,
    PlanFooter,
    PlannedItem,
    write_plan,
)
from polly_core.planning.summary import PlanSummary, PlanTally


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run's plan comes to."""

    digest: str
    summary: PlanSummary


def decision_of(row: ItemRow) -> Decision:
    """What was planned for an item, whatever came of it since."""
    if row.planned is not None:
        return row.planned
    if row.state is ItemState.UNCHANGED:
        return Unchanged(version_seen=row.version_seen)
    if row.state is ItemState.SKIPPED:
        return Skipped(reason="; ".join(row.reasons))
    # An item that could not be read has no plan and is not written either.
    return Invalid(reasons=row.reasons, version_seen=row.version_seen)


def planned_items(ledger: Ledger, run_id: RunId) -> Iterator[tuple[Item, Decision]]:
    """Every item with its decision, in order, streamed."""
    for row in ledger.items(run_id):
        yield row.item(), decision_of(row)


def plan_of(ledger: Ledger, run: RunRow) -> RunPlan:
    """Digest and summary of a planned run."""
    found = PlanDigest(run.spec_digest)
    tally = PlanTally()
    for item, decision in planned_items(ledger, run.run_id):
        found.add(item, decision)
        tally.add(item, decision)
    return RunPlan(found.hexdigest(), tally.summary())


def export_plan(ledger: Ledger, run: RunRow, path: Path) -> PlanFooter:
    """Write a planned run's plan file. It appears whole or not at all."""
    return write_plan(path, run.spec, planned_items(ledger, run.run_id))


def adopt_items(ledger: Ledger, run: RunRow, plan: PlanFile) -> None:
    """Freeze the items of a plan file as the run's selection, unless it is frozen."""
    if run.total is not None:
        return
    ledger.discard_selection(run.run_id)
    for number, group in enumerate(_groups(plan, run.options.shard_size)):
        items = tuple(one.item for one in group)
        ledger.add_shard(run.run_id, NewShard(shard=ShardNo(number), items=items))
    ledger.seal(run.run_id)


def adopt_plans(ledger: Ledger, run: RunRow, plan: PlanFile, execution_id: ExecutionId) -> None:
    """Record the decisions of a plan file for the items that are not planned yet.

    Raises:
        RunMismatch: the file's items are not the run's.
    """
    lines = plan.items()
    for shard in ledger.shards(run.run_id):
        group = list(islice(lines, shard.size))
        rows = list(ledger.items(run.run_id, shard=shard.shard))
        if [row.item() for row in rows] != [one.item for one in group]:
            raise RunMismatch(
                f"{plan.path}: its items are not those of run {run.run_id}; apply it as a new run"
            )
        selected = {row.seq for row in rows if row.state is ItemState.SELECTED}
        plans = [
            PlanRow(seq=one.item.seq, decision=one.decision)
            for one in group
            if one.item.seq in selected
        ]
        if plans:
            claim = ledger.claim_shard(run.run_id, shard.shard, execution_id)
            ledger.record_plans(claim, plans)


def _groups(plan: PlanFile, size: int) -> Iterator[list[PlannedItem]]:
    lines = plan.items()
    while group := list(islice(lines, size)):
        yield group
