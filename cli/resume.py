"""``polly-bulk resume``: take up a run that did not finish."""

import click

from cli.options import Running, output_option, takes_options
from cli.working import carry_out, open_ledger_here, run_parameters, tell
from polly_core.engine.execution import living_executions
from polly_core.engine.report import summarise
from polly_core.models.run import RunState


@click.command()
@click.argument("run")
@takes_options
@output_option
def command(run: str, running: Running, output: str) -> int:
    """Take up a run where it stopped. Everything it needs stands in the ledger.

    What was sent and not answered is settled first. A finished run answers with its report.
    """
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
        if known.state is RunState.FINISHED:
            return tell(summarise(ledger, known), output)
        living = living_executions(ledger, known.run_id)
    if living:
        click.echo(
            f"run {known.run_id} is being executed already, this process joins in; to control it: "
            "polly-bulk pause, continue, cancel or throttle",
            err=True,
        )
    parameters = {"run_id": known.run_id, **run_parameters(running)}
    return tell(carry_out(known.spec.operation, {"run": parameters}), output)
