"""``polly-bulk show``: one run."""

import json

import click

from cli.options import output_option
from cli.render import plan_text, summary_text
from cli.working import document, open_ledger_here
from polly_core.engine.planned import plan_of
from polly_core.engine.report import summarise


@click.command()
@click.argument("run")
@click.option("--plan", "with_plan", is_flag=True, help="Also what was planned.")
@output_option
def command(run: str, with_plan: bool, output: str) -> int:
    """How a run stands, what was planned, and how to go on."""
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
        summary = summarise(ledger, known)
        plan = plan_of(ledger, known) if with_plan else None
    if output == "json":
        found = document(summary)
        found["spec"] = known.spec.model_dump(mode="json")
        found["options"] = known.options.model_dump(mode="json")
        if plan is not None:
            found["plan"] = plan.summary.model_dump(mode="json")
        click.echo(json.dumps(found))
        return 0
    if plan is not None:
        click.echo(plan_text(known, plan))
    click.echo(summary_text(summary))
    for flow_run_id in summary.flow_run_ids:
        click.echo(f"  flow run {flow_run_id}")
    return 0
