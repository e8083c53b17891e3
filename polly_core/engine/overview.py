"""A run with everything around it: where it comes from, who approved it, who is at it now."""

from collections.abc import Iterator
from datetime import datetime

from polly_core.engine.execution import living_executions
from polly_core.engine.report import summarise
from polly_core.engine.waves import is_open, ranges
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Approved, Control, ExecutionRow, Pace, RunRow
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import (
    WRITTEN,
    Approval,
    OperationName,
    RunState,
    RunSummary,
)


class Link(Model):
    """A run that came of this one, or that this one came of."""

    run_id: RunId
    operation: OperationName
    state: RunState
    created_at: datetime


class WaveStanding(Model):
    """One wave of a planned run."""

    number: int
    size: int
    """Items in it that have something to be written."""
    through: bool
    """Nothing of it is left to be written."""
    approved: Approved | None = None


class Live(Model):
    """A process that executes the run at this moment."""

    process: str
    started_at: datetime
    pace: Pace | None = None
    """As it said last; None where it has just begun."""
    pace_at: datetime | None = None


class Overview(Model):
    """A run and what is around it, from the ledger alone."""

    summary: RunSummary
    origin: Link | None = None
    """What it undoes, or repeats a part of."""
    led_to: tuple[Link, ...] = ()
    """Runs that undid something of it, or repeat a part of it; oldest first."""
    approvals: tuple[Approved, ...] = ()
    waves: tuple[WaveStanding, ...] = ()
    """Empty where everything goes at once, or nothing is planned yet."""
    control: Control = Control()
    live: tuple[Live, ...] = ()


def overview(ledger: Ledger, run: RunRow) -> Overview:
    """Everything there is to say about a run without reading its items."""
    approvals = tuple(ledger.approvals(run.run_id))
    return Overview(
        summary=summarise(ledger, run),
        origin=_link(ledger.run(run.origin)) if run.origin else None,
        led_to=tuple(_led_to(ledger, run.run_id)),
        approvals=approvals,
        waves=_waves(ledger, run, approvals),
        control=ledger.control(run.run_id),
        live=living(ledger, run.run_id),
    )


def living(ledger: Ledger, run_id: RunId) -> tuple[Live, ...]:
    """Processes that execute the run; those of this host that are gone do not count."""
    return tuple(map(_live, living_executions(ledger, run_id)))


def _live(one: ExecutionRow) -> Live:
    return Live(process=one.process, started_at=one.started_at, pace=one.pace, pace_at=one.pace_at)


def _led_to(ledger: Ledger, run_id: RunId) -> Iterator[Link]:
    """An undo that wrote nothing, a dry run for one, has undone nothing."""
    for run in ledger.runs_of_origin(run_id):
        undoes = run.spec.operation is OperationName.UNDO
        if not undoes or ledger.counts(run.run_id).of(*WRITTEN):
            yield _link(run)


def _link(run: RunRow) -> Link:
    return Link(
        run_id=run.run_id,
        operation=run.spec.operation,
        state=run.state,
        created_at=run.created_at,
    )


def _waves(
    ledger: Ledger, run: RunRow, approvals: tuple[Approved, ...]
) -> tuple[WaveStanding, ...]:
    if run.plan_digest is None or not run.options.waves:
        return ()
    by_wave = {one.wave: one for one in approvals if one.plan_digest == run.plan_digest}
    each = run.options.approval is Approval.WAVES
    return tuple(
        WaveStanding(
            number=wave.number,
            size=wave.size,
            through=not is_open(ledger, run.run_id, wave),
            # The approval of the plan is that of its first wave.
            approved=by_wave.get(0 if wave.number == 1 else wave.number)
            if each or wave.number == 1
            else None,
        )
        for wave in ranges(ledger, run)
    )
