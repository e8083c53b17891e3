"""``polly-bulk show``: one run."""

import json

import click

from cli.options import output_option
from cli.render import plan_text, summary_text
from cli.render_overview import overview_text
from cli.working import document, open_ledger_here
from polly_core.engine.overview import Overview, overview
from polly_core.engine.planned import RunPlan, plan_of
from polly_core.ledger.rows import RunRow
from polly_core.models.jsonvalue import JsonObject


@click.command()
@click.argument("run")
@click.option("--plan", "with_plan", is_flag=True, help="Also what was planned.")
@output_option
def command(run: str, with_plan: bool, output: str) -> int:
    """How a run stands, what was planned, who approved it, what undid it, and how to go on.

    Of a run that some process executes: how fast it goes, how long it will take, and why it is as
    slow as it is.
    """
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
        found = overview(ledger, known)
        plan = plan_of(ledger, known) if with_plan else None
    if output == "json":
        click.echo(json.dumps(_document(known, found, plan)))
        return 0
    if plan is not None:
        click.echo(plan_text(known, plan))
    click.echo(summary_text(found.summary, alive=bool(found.live)))
    around = overview_text(found)
    if around:
        click.echo(around)
    for flow_run_id in found.summary.flow_run_ids:
        click.echo(f"  flow run {flow_run_id}")
    return 0


def _document(run: RunRow, found: Overview, plan: RunPlan | None) -> JsonObject:
    shown = document(found.summary)
    shown["spec"] = run.spec.model_dump(mode="json")
    shown["options"] = run.options.model_dump(mode="json")
    shown |= found.model_dump(mode="json", exclude={"summary"})
    if plan is not None:
        shown["plan"] = plan.summary.model_dump(mode="json")
    return shown
