"""Plans and summaries as text for a person."""

from collections.abc import Iterator

from polly_core.engine.planned import RunPlan
from polly_core.ledger.rows import RunRow
from polly_core.models.run import RunState, RunSummary, StopReason
from polly_core.planning.summary import PlanSummary, Tally
from polly_core.planning.wording import counted

SHOWN_GROUPS = 8
SHOWN_REASONS = 10


def plan_text(run: RunRow, plan: RunPlan) -> str:
    """What a plan comes to: counts, fields, the largest groups of identical changes, reasons."""
    summary = plan.summary
    lines = [
        f"plan of run {run.run_id}: {run.spec.operation} in {run.spec.catalog}",
        f"  {_counts(summary)}",
        *_fields(summary),
        *_groups(summary),
        *_tallies("side effects", summary.side_effects),
        *_tallies("cannot be brought back", summary.not_recoverable),
        *_tallies("left alone, because", summary.skips),
        *_tallies("refused, because", summary.reasons),
        f"  plan digest {plan.digest}",
    ]
    return "\n".join(lines)


def summary_text(summary: RunSummary, *, alive: bool = False) -> str:
    """How a run stands, and what to do next; ``alive``: some process executes it."""
    counts = summary.counts
    states = ", ".join(f"{number} {state}" for state, number in counts.by_state.items() if number)
    lines = [
        f"run {summary.run_id} (ingestion_run_id): {_standing(summary)}",
        f"  {summary.operation} in {summary.catalog}",
        f"  {counts.total} items: {states or 'none'}",
    ]
    if counts.verified:
        lines.append(f"  {counts.verified} verified by reading the history back")
    if summary.broken:
        lines.append(f"  verification at the end: {summary.message}")
    if counts.not_processed:
        lines.append(f"  {counts.not_processed} not processed")
    if summary.seconds:
        lines.append(f"  executing for {summary.seconds:.1f} s")
    if alive:
        control = "polly-bulk pause, continue, cancel or throttle"
        lines.append(f"  it is being executed: {control} {summary.run_id}")
    else:
        lines += next_steps(summary)
    return "\n".join(lines)


def next_steps(summary: RunSummary) -> Iterator[str]:
    """Commands that go on from here."""
    # For what was refused the message says what to do.
    if summary.state is not RunState.FINISHED and summary.stop is not StopReason.REFUSED:
        yield f"  go on with: polly-bulk resume {summary.run_id}"
    if summary.broken or summary.stop is StopReason.VERIFICATION:
        yield f"  what is not as promised or asserted: polly-bulk verify {summary.run_id}"
    if summary.stop is StopReason.VERIFICATION:
        yield f"  to go on with it as it is: polly-bulk resume {summary.run_id} --no-assert"
    if summary.counts.not_well:
        yield f"  what did not end well: polly-bulk report {summary.run_id} --only not-well"


def _standing(summary: RunSummary) -> str:
    if summary.stop is None:
        return str(summary.state)
    told = summary.message and summary.message != summary.stop
    return f"stopped ({summary.stop}){f': {summary.message}' if told else ''}"


def _counts(summary: PlanSummary) -> str:
    counts = summary.counts
    parts = [f"{counts.get('planned', 0)} to be written", f"{counts.get('unchanged', 0)} unchanged"]
    parts += [f"{counts[name]} {name}" for name in ("skipped", "invalid") if counts.get(name)]
    return f"{summary.total} items: " + ", ".join(parts)


def _fields(summary: PlanSummary) -> Iterator[str]:
    for field in summary.fields[:20]:
        kinds = {"added": field.add, "replaced": field.replace, "removed": field.remove}
        said = ", ".join(f"{kind} in {number}" for kind, number in kinds.items() if number)
        yield f"  field {field.path}: {said}"


def _groups(summary: PlanSummary) -> Iterator[str]:
    for group in summary.groups[:SHOWN_GROUPS]:
        yield f"  {group.count} x {group.text()}   e.g. {group.example}"
    others = sum(group.count for group in summary.groups[SHOWN_GROUPS:]) + summary.ungrouped
    if others:
        yield f"  … and {others} with other changes"


def _tallies(title: str, tallies: tuple[Tally, ...]) -> Iterator[str]:
    for tally in tallies[:SHOWN_REASONS]:
        yield f"  {title}: {tally.text} ({counted(tally.count, 'item')}, e.g. {tally.example})"
    if len(tallies) > SHOWN_REASONS:
        yield f"  {title}: {len(tallies) - SHOWN_REASONS} more reasons; see the report"
