"""What a run shows in Prefect's UI and API beside its state."""

import platform
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.client.schemas.objects import Artifact
from prefect.client.schemas.sorting import ArtifactSort

from polly_core.engine.meter import Progress
from polly_core.engine.planned import RunPlan
from polly_core.engine.waves import WaveRange
from polly_core.ledger.rows import ItemRow
from polly_core.models.run import RunSummary
from polly_core.planning.wording import counted

PROGRESS = "run-progress"
REPORT = "run-report"
SUMMARY = "run-summary"
ITEMS = "run-items"
FILES = "run-files"

# Prefect's UI puts every row into the page: 1,000 take 4 s to show, 5,000 half a minute.
TABLE_ROWS = 500


def stored(client: SyncPrefectClient, flow_run_id: UUID, key: str) -> list[Artifact]:
    """The flow run's artifacts with a key, newest first."""
    mine = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=[key])
    )
    return client.read_artifacts(artifact_filter=mine, sort=ArtifactSort.CREATED_DESC)


def percent_done(progress: Progress) -> float:
    """Processed items of all, 0 to 100; 0 while it is not known how many there are."""
    counts = progress.counts
    return 100.0 * counts.processed / counts.total if counts.total else 0.0


def progress_text(progress: Progress) -> str:
    """One line: how far, how fast, how long, and why it is as slow as it is."""
    counts = progress.counts
    parts = [f"{counts.processed}/{counts.total} datasets"]
    if counts.not_well:
        parts.append(f"{counts.not_well} not well")
    parts.append(f"{progress.rate:.1f}/s with {progress.concurrency} in flight")
    if progress.eta_seconds is not None:
        parts.append(f"about {_duration(progress.eta_seconds)} left")
    if progress.note:
        parts.append(progress.note)
    return ", ".join(parts)


def report_markdown(summary: RunSummary) -> str:
    """A page for a person: what was done, what came of it, what to do next."""
    rows = "\n".join(
        f"| {state.value} | {number} |"
        for state, number in sorted(summary.counts.by_state.items())
        if number
    )
    plan = f"- plan digest: `{summary.plan_digest}`\n" if summary.plan_digest else ""
    return (
        f"# {summary.operation.value} of {summary.catalog}\n\n"
        f"- ingestion_run_id: `{summary.run_id}`\n"
        f"- spec digest: `{summary.spec_digest}`\n"
        f"{plan}"
        f"- state: {summary.state.value}{f' ({summary.stop.value})' if summary.stop else ''}"
        f"{f': {summary.message}' if summary.message else ''}\n"
        f"- executing for {_duration(summary.seconds)}\n\n"
        f"| outcome | datasets |\n|---|---|\n{rows}\n| **all** | {summary.counts.total} |\n\n"
        f"{summary.counts.verified} verified.\n\n{_next_steps(summary)}\n"
    )


def plan_markdown(plan: RunPlan, wave: WaveRange) -> str:
    """What somebody who approves a plan, or a wave of it, has to know."""
    summary = plan.summary
    counts = ", ".join(f"{number} {name}" for name, number in summary.counts.items())
    lines = [f"{counted(summary.total, 'item')}: {counts}"]
    if wave.of > 1:
        lines.append(f"This is wave {wave.number} of {wave.of}: {wave.size} items.")
    lines += [f"- {group.count} x {group.text()}" for group in summary.groups]
    said = {
        "side effect": summary.side_effects,
        "cannot be brought back": summary.not_recoverable,
        "left alone": summary.skips,
        "refused": summary.reasons,
    }
    lines += [
        f"- {title}: {tally.text} ({counted(tally.count, 'item')}, e.g. {tally.example})"
        for title, tallies in said.items()
        for tally in tallies
    ]
    return "\n".join(lines) + f"\n\nplan digest `{plan.digest}`"


def item_table(items: Sequence[ItemRow]) -> list[dict[str, str]]:
    """Rows for Prefect's table, at most ``TABLE_ROWS``. No metadata values are in it."""
    return [
        {
            "dataset_id": item.dataset_id,
            "outcome": item.state.value,
            "version before": item.version_seen or "",
            "version after": item.version_after or "",
            "reasons": "; ".join(item.reasons),
        }
        for item in items[:TABLE_ROWS]
    ]


def files_markdown(summary: RunSummary, report: Path) -> str:
    """Where every item of the run is listed."""
    return (
        f"- [{report.name}]({report.as_uri()}) on {platform.node()}: every dataset, as JSON lines\n"
        f"- `polly-bulk report {summary.run_id}` wherever the ledger can be reached\n"
    )


def _next_steps(summary: RunSummary) -> str:
    if summary.stop is not None or summary.counts.not_processed:
        return (
            f"Not finished. Go on with `polly-bulk resume {summary.run_id}` "
            "or `prefect flow-run retry` on this flow run."
        )
    if summary.counts.not_well:
        return (
            f"Look at what did not end well: `polly-bulk report {summary.run_id}`; "
            f"select it again with `--failed-of {summary.run_id}`."
        )
    return f"Nothing is left to do. Every dataset: `polly-bulk report {summary.run_id}`."


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
