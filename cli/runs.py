"""``polly-bulk runs``: the runs in the ledger."""

import json

import click

from cli.options import output_option
from cli.render_overview import live_line
from cli.working import document, open_ledger_here
from polly_core.engine.overview import Live, living
from polly_core.engine.report import summarise
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import RunRow
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import OperationName, RunState, RunSummary


class Listed(Model):
    """A run in the list."""

    summary: RunSummary
    origin: str | None
    live: tuple[Live, ...]

    def document(self) -> JsonObject:
        """The documented JSON."""
        own: JsonObject = self.model_dump(mode="json", exclude={"summary"})
        return {**document(self.summary), **own}


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@output_option
def command(limit: int, output: str) -> int:
    """List runs, newest first; what undoes another, and how fast those go that are at work."""
    with open_ledger_here() as ledger:
        found = [_listed(ledger, run) for run in ledger.runs(limit=limit)]
    if output == "json":
        click.echo(json.dumps([one.document() for one in found]))
    elif not found:
        click.echo("no runs in this ledger")
    else:
        click.echo("\n".join(map(_line, found)))
    return 0


def _listed(ledger: Ledger, run: RunRow) -> Listed:
    live = () if run.state is RunState.FINISHED else living(ledger, run.run_id)
    return Listed(summary=summarise(ledger, run), origin=run.origin, live=live)


def _line(one: Listed) -> str:
    summary, counts = one.summary, one.summary.counts
    state = summary.state if summary.stop is None else f"{summary.state}: {summary.stop}"
    line = (
        f"{summary.run_id}  {summary.created_at[:19]}  {summary.operation:<8} "
        f"atlas {summary.catalog.atlas_id:<12} {counts.ended_well}/{counts.total} well, "
        f"{counts.not_well} not, {counts.not_processed} open  {state}"
    )
    if summary.broken:
        line += f", {summary.broken} not as promised or asserted"
    if one.origin is not None:
        undoes = summary.operation is OperationName.UNDO
        line += f", {'undoes' if undoes else 'repeats a part of'} {one.origin[:8]}"
    return line + "".join(f"\n    {live_line(live, summary.state)}" for live in one.live)
