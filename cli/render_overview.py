"""What is around a run, as text for a person."""

from collections.abc import Iterator
from datetime import UTC, datetime

from polly_core.engine.overview import Link, Live, Overview
from polly_core.ledger.rows import Wanted
from polly_core.models.run import OperationName, RunState


def overview_text(found: Overview, *, now: datetime | None = None) -> str:
    """Where the run comes from, its approvals and waves, and who is at it now."""
    return "\n".join(_lines(found, now or datetime.now(UTC)))


def _lines(found: Overview, now: datetime) -> Iterator[str]:
    own = found.summary.operation
    if found.origin:
        yield f"  {_kind(own)} run {_link(found.origin)}"
    for link in found.led_to:
        done = "undone by" if link.operation is OperationName.UNDO else "repeated in part by"
        yield f"  {done} run {_link(link)}"
    for one in found.approvals:
        what = f"wave {one.wave}" if one.wave else "the plan"
        yield (
            f"  {what} approved by {one.by} at {one.at:%Y-%m-%d %H:%M:%S} UTC "
            f"(plan digest {one.plan_digest[:12]})"
        )
    waiting = True
    for wave in found.waves:
        state = "through" if wave.through else ("next" if waiting else "waits")
        waiting = waiting and wave.through
        yield f"  wave {wave.number} of {len(found.waves)}: {wave.size} items, {state}"
    if found.live and found.control.wanted is not Wanted.RUN:
        yield f"  asked to {found.control.wanted.value}"
    for live in found.live:
        yield f"  {_at_work(live)}: {live_line(live, found.summary.state, now)}"


def _kind(own: OperationName) -> str:
    return "undoes" if own is OperationName.UNDO else "repeats a part of"


def _link(link: Link) -> str:
    return f"{link.run_id} ({link.operation.value}, {link.state.value})"


def _at_work(live: Live) -> str:
    host, *rest = live.process.split("/")
    return f"process {rest[-2]} on {host}" if len(rest) > 1 else live.process


def live_line(live: Live, state: RunState, now: datetime | None = None) -> str:
    """How fast it goes, how long it will take, and why it is as slow as it is."""
    if live.pace is None or live.pace_at is None:
        return "has just begun"
    pace = live.pace
    parts = [f"{pace.rate:.1f}/s with {pace.concurrency} requests in flight allowed"]
    if state is not RunState.RUNNING:
        parts = [f"nothing is written yet ({state.value})"]
    elif pace.eta_seconds is not None:
        parts.append(f"about {pace.eta_seconds:.0f} s left")
    if pace.note:
        parts.append(pace.note)
    age = ((now or datetime.now(UTC)) - live.pace_at).total_seconds()
    return ", ".join(parts) + f" (as of {max(0.0, age):.0f} s ago)"
