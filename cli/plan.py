"""``polly-bulk plan``: only plan, into a file that can be reviewed and applied as it is."""

import json
from pathlib import Path

import click

from cli.options import Running, output_option, takes_planning, takes_selection
from cli.update import ChangeGiven, atlas_option, request_of, takes_change
from cli.working import plan_document, plan_here, save_plan, tell, tell_plan
from polly_core.models.selection import Selection


@click.group()
def command() -> None:
    """Only plan an operation, into a file that can be reviewed; 'apply' does exactly that."""


@command.command()
@atlas_option
@takes_change
@takes_selection
@takes_planning
@click.option("-o", "plan_file", required=True, metavar="FILE", help="Where the plan goes.")
@output_option
def update(
    atlas: str,
    change: ChangeGiven,
    selection: Selection,
    running: Running,
    plan_file: str,
    output: str,
) -> int:
    """Plan a bulk metadata update. Nothing is written to the atlas."""
    planned = plan_here(request_of(atlas, change, selection, running))
    if planned.plan is None:
        return tell(planned.summary, output)
    save_plan(planned, Path(plan_file))
    tell_plan(planned, output)
    if output == "json":
        click.echo(json.dumps({**plan_document(planned), "plan_file": plan_file}))
    else:
        click.echo(f"written to {plan_file}; polly-bulk apply {plan_file} does exactly that")
    return 0
