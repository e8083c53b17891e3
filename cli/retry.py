"""``polly-bulk retry``: plan again what did not end well, and do it."""

import click

from cli.options import Running, output_option, takes_options
from cli.working import carry_out, confirmed, open_ledger_here, run_parameters, tell
from polly_core.engine.report import summarise
from polly_core.models.run import RETRIED, ItemState, RunState
from polly_core.planning.wording import counted

_CHOICES = sorted(state.value for state in RETRIED)


@click.command()
@click.argument("run")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(_CHOICES),
    help=f"Only items with this outcome; may be repeated ({', '.join(_CHOICES)}).",
)
@takes_options
@output_option
def command(run: str, only: tuple[str, ...], running: Running, output: str) -> int:
    """Plan the items of a run that failed, were refused or drifted again, and write them.

    The change is the recorded one, evaluated on the datasets as they stand now. With another
    change, start a new run with --failed-of RUN.
    """
    states = frozenset(map(ItemState, only)) or RETRIED
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
        number = ledger.counts(known.run_id).of(*states)
        if number == 0:
            click.echo(f"nothing to retry: no item of run {known.run_id} ended so", err=True)
            return tell(summarise(ledger, known), output)
        if not running.yes and not confirmed(f"Plan {counted(number, 'item')} again and write?"):
            return 130
        ledger.reopen(known.run_id, states=states)
        ledger.set_state(known.run_id, RunState.SELECTED)
    parameters = {"run_id": known.run_id, **run_parameters(running)}
    return tell(carry_out(known.spec.operation, {"run": parameters}), output)
