"""``polly-bulk pause``, ``continue``, ``cancel``, ``throttle``: live control of a running run.

From any machine that reaches the ledger; the run hears it within a second or two.
"""

from collections.abc import Callable

import click

from cli.working import open_ledger_here
from polly_core.engine.control import RunControl
from polly_core.models.catalog import RunId


def _tell(run: str, ask: Callable[[RunControl], None], said: str) -> int:
    with open_ledger_here() as ledger:
        run_id: RunId = ledger.find_run(run).run_id
        ask(RunControl(ledger, run_id))
    click.echo(f"run {run_id}: {said.format(run=run_id)}")
    return 0


@click.command()
@click.argument("run")
def pause(run: str) -> int:
    """Hold a running run: nothing new is written until 'continue'.

    What is in flight ends and is recorded. The datasets stay leased to the run.
    """
    return _tell(run, RunControl.pause, "paused; go on with: polly-bulk continue {run}")


@click.command(name="continue")
@click.argument("run")
def go_on(run: str) -> int:
    """Let a paused run go on."""
    return _tell(run, RunControl.go_on, "goes on")


@click.command()
@click.argument("run")
def cancel(run: str) -> int:
    """Stop a running run. What is in flight ends and is recorded; it stays resumable."""
    return _tell(run, RunControl.cancel, "stopping; take it up with: polly-bulk resume {run}")


@click.command()
@click.argument("run")
@click.argument("requests", type=click.IntRange(1, 1024))
def throttle(run: str, requests: int) -> int:
    """Change how many requests a running run may have in flight.

    At most as many as it was started with; for more, cancel it and resume with --concurrency.
    """
    with open_ledger_here() as ledger:
        run_id = ledger.find_run(run).run_id
        allowed = RunControl(ledger, run_id).throttle(requests)
    click.echo(f"run {run_id}: at most {allowed} requests in flight")
    return 0
