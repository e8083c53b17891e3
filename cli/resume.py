"""``polly-bulk resume``: take up a run that did not finish."""

import click

from cli.options import Running, output_option, takes_options
from cli.working import carry_out, open_ledger_here, run_parameters, tell
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
    parameters = {"run_id": known.run_id, **run_parameters(running)}
    return tell(carry_out(known.spec.operation, {"run": parameters}), output)
