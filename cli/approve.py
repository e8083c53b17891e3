"""``polly-bulk approve``: consent to a run's plan, or to one of its waves."""

import getpass
import json
import platform
import sys

import click

from cli.options import output_option
from cli.render import plan_text
from cli.working import confirmed, open_ledger_here
from polly_core.engine.planned import plan_of
from polly_core.errors import InvalidInput, RunMismatch
from polly_core.ledger.rows import RunRow

SHORTEST_DIGEST = 8


@click.command()
@click.argument("run")
@click.option(
    "--wave",
    type=click.IntRange(min=1),
    metavar="N",
    help="One wave of the plan. Default: the plan, which goes for its first wave.",
)
@click.option(
    "--digest",
    metavar="D",
    help="The digest of the plan you have looked at; another plan is refused. Needed where "
    "there is no terminal to ask at.",
)
@click.option("--by", metavar="NAME", help="Who approves. Default: you, on this machine.")
@output_option
def command(run: str, wave: int | None, digest: str | None, by: str | None, output: str) -> int:
    """Show a run's plan and approve it; a run that waits for it goes on by itself.

    The approval is bound to the plan's digest and recorded in the ledger with who gave it and when.
    """
    number = 0 if wave == 1 else wave or 0
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
        planned = _digest_of(known, digest)
        click.echo(plan_text(known, plan_of(ledger, known)), err=output == "json")
        what = f"wave {number} of this plan" if number else "this plan"
        if digest is None and not _consents(what):
            click.echo("nothing was approved", err=True)
            return 130
        ledger.approve(known.run_id, planned, number, by or _here())
        given = next(
            one
            for one in ledger.approvals(known.run_id)
            if (one.plan_digest, one.wave) == (planned, number)
        )
    if output == "json":
        click.echo(json.dumps({"run_id": known.run_id, **given.model_dump(mode="json")}))
    else:
        click.echo(f"{what} is approved, by {given.by} on {given.at:%Y-%m-%d %H:%M} UTC")
        click.echo(
            f"a run that waits goes on within seconds; otherwise: polly-bulk resume {known.run_id}",
            err=True,
        )
    return 0


def _digest_of(run: RunRow, given: str | None) -> str:
    if run.plan_digest is None:
        raise InvalidInput(
            f"run {run.run_id} has no plan yet that could be approved; it is {run.state}"
        )
    if given is None:
        return run.plan_digest
    if len(given) < SHORTEST_DIGEST or not run.plan_digest.startswith(given):
        raise RunMismatch(
            f"the plan of run {run.run_id} has digest {run.plan_digest}, the approval is for "
            f"{given}; look at the plan as it is now: polly-bulk show {run.run_id} --plan"
        )
    return run.plan_digest


def _consents(what: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError(
            "there is no terminal to ask at; add --digest with the plan's digest"
        )
    return confirmed(f"Approve {what}?")


def _here() -> str:
    return f"{getpass.getuser()}@{platform.node()}"
