"""``polly-bulk verify``: check at any time that a run's promises still hold."""

import json
from collections.abc import Iterator

import click

from cli.options import output_option
from cli.working import open_ledger_here, surroundings
from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.engine.verifying import Verification, assertions_of

SHOWN = 20


@click.command()
@click.argument("run")
@click.option(
    "--assert",
    "assertions",
    metavar="EXPR",
    multiple=True,
    help="JMESPath, as in --where, that must hold for every dataset that was written, beside the "
    "run's own assertions; may be given again.",
)
@output_option
def command(run: str, assertions: tuple[str, ...], output: str) -> int:
    """Read back what a run wrote: history, metadata, data, files; and see whether assertions hold.

    Later versions are other people's edits and no problem; assertions are about the dataset as it
    stands now. Nothing is changed. Exits with 1 where a promise or an assertion is broken.
    """
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
    # Before anything is asked of the service.
    assertions_of(known.spec.operation, known.options, assertions)
    with open_session(RunRequest(run_id=known.run_id), surroundings()) as session:
        found = session.verify(assertions=assertions)
    code = 0 if found.good else 1
    if output == "json":
        click.echo(json.dumps({**found.model_dump(mode="json"), "exit_code": code}))
    else:
        click.echo(verification_text(found))
    return code


def verification_text(found: Verification) -> str:
    """What verification came to, with the first of what was found."""
    return "\n".join(_lines(found))


def _lines(found: Verification) -> Iterator[str]:
    yield f"run {found.run_id}: {found.kept} of {found.checked} written datasets are as promised"
    if found.broken:
        yield f"  {found.broken} break an assertion"
    elif found.assertions:
        yield f"  every assertion holds ({len(found.assertions)})"
    for one in found.findings[:SHOWN]:
        yield f"  {one.dataset_id}: {'; '.join(one.texts())}"
    if found.bad > SHOWN:
        yield f"  … {found.bad - SHOWN} more; --output json has them"
