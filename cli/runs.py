"""``polly-bulk runs``: the runs in the ledger."""

import json

import click

from cli.options import output_option
from cli.working import document, open_ledger_here
from polly_core.engine.report import summarise
from polly_core.models.run import RunSummary


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@output_option
def command(limit: int, output: str) -> int:
    """List runs, newest first."""
    with open_ledger_here() as ledger:
        found = [summarise(ledger, run) for run in ledger.runs(limit=limit)]
    if output == "json":
        click.echo(json.dumps([document(summary) for summary in found]))
    elif not found:
        click.echo("no runs in this ledger")
    else:
        click.echo("\n".join(map(_line, found)))
    return 0


def _line(summary: RunSummary) -> str:
    counts = summary.counts
    state = summary.state if summary.stop is None else f"{summary.state}: {summary.stop}"
    return (
        f"{summary.run_id}  {summary.created_at[:19]}  {summary.operation:<8} "
        f"atlas {summary.catalog.atlas_id:<12} {counts.ended_well}/{counts.total} well, "
        f"{counts.not_well} not, {counts.not_processed} open  {state}"
    )
