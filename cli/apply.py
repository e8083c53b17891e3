"""``polly-bulk apply``: do exactly what a plan file says."""

import json
from pathlib import Path
from uuid import uuid4

import click

from cli.options import Running, output_option, takes_running
from cli.working import (
    carry_out,
    confirmed,
    open_ledger_here,
    plan_document,
    plan_here,
    tell,
    tell_plan,
)
from polly_core.engine.request import RunRequest
from polly_core.ledger.rows import RunRow
from polly_core.models.catalog import RunId
from polly_core.models.run import RunState
from polly_core.planning.plan import PlanFile, read_plan
from polly_core.planning.wording import counted


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(exists=True, dir_okay=False))
@takes_running
@output_option
def command(plan_file: str, running: Running, output: str) -> int:
    """Do exactly what a plan file says; what moved since is left alone and reported."""
    plan = read_plan(Path(plan_file))
    request = RunRequest(
        run_id=running.run_id or _planned_here(plan) or RunId(str(uuid4())),
        atlas_id=plan.spec.catalog.atlas_id,
        operation=plan.spec.operation,
        plan_file=Path(plan_file),
        options=running.options,
        barrier=True,
    )
    planned = plan_here(request)
    if planned.plan is None:
        return tell(planned.summary, output)
    tell_plan(planned, output)
    if running.dry_run:
        if output == "json":
            click.echo(json.dumps(plan_document(planned)))
        return planned.exit_code
    to_write = planned.plan.summary.counts.get("planned", 0)
    if to_write and not running.yes and not confirmed(f"Write {counted(to_write, 'dataset')}?"):
        return 130
    return tell(carry_out(request.operation, {"run": {"run_id": request.run_id}}), output)


def _planned_here(plan: PlanFile) -> RunId | None:
    """The run that made this plan, where this ledger has it and nothing was written yet."""

    def same(run: RunRow) -> bool:
        return run.state is RunState.PLANNED and run.plan_digest == plan.footer.plan_digest

    with open_ledger_here() as ledger:
        return next((run.run_id for run in ledger.runs(limit=1000) if same(run)), None)
