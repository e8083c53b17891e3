"""``polly-bulk verify``: check at any time that a run's promises still hold."""

import click

from cli.options import output_option
from cli.working import open_ledger_here, surroundings
from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.engine.verifying import Verification

SHOWN = 20


@click.command()
@click.argument("run")
@output_option
def command(run: str, output: str) -> int:
    """Read back the history and the metadata of every dataset that a run wrote.

    Later versions are other people's edits and no problem. Exits with 1 where a promise is broken.
    """
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
    with open_session(RunRequest(run_id=known.run_id), surroundings()) as session:
        found = session.verify()
    click.echo(found.model_dump_json() if output == "json" else _text(found))
    return 0 if found.kept == found.checked else 1


def _text(found: Verification) -> str:
    lines = [
        f"run {found.run_id}: {found.kept} of {found.checked} written datasets are as promised"
    ]
    lines += [f"  {one.dataset_id}: {'; '.join(one.problems)}" for one in found.findings[:SHOWN]]
    if len(found.findings) > SHOWN:
        lines.append(f"  … {len(found.findings) - SHOWN} more; --output json has them")
    return "\n".join(lines)
