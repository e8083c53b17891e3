"""``polly-bulk bundle``: a run's record as a folder that stands for itself, and checking one."""

import json
from pathlib import Path

import click

from cli.options import output_option
from cli.verify import verification_text
from cli.working import open_ledger_here, surroundings
from polly_core.engine.bundle import make_bundle, require_free, require_still
from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.engine.sums import check_sums
from polly_core.engine.verifying import Verification
from polly_core.ledger.ledger import Ledger
from polly_core.models.catalog import RunId
from polly_core.settings import Settings

SHOWN = 20


@click.command()
@click.argument("run", required=False)
@click.option("-o", "target", metavar="DIR|s3://…", help="Where it goes; it must not be there yet.")
@click.option("--verify", is_flag=True, help="Verify the run first, and put what was found in.")
@click.option("--check", "folder", metavar="DIR", help="Check a bundle instead of making one.")
@output_option
def command(
    run: str | None, target: str | None, verify: bool, folder: str | None, output: str
) -> int:
    """Put everything that there is about a run into one place, for audit.

    Its plan, approvals, ledger rows, report and saved files, with SHA-256 sums over all of them.
    It appears whole or not at all. With --check, exits with 1 where a file is not as it was.
    """
    if folder is not None:
        if run is not None or target is not None or verify:
            raise click.UsageError("--check takes nothing but the folder of a bundle")
        return _check(folder, output)
    if run is None or target is None:
        raise click.UsageError("name the run, and with -o where its bundle goes")
    return _make(run, target, output, verify=verify)


def _make(run: str, target: str, output: str, *, verify: bool) -> int:
    with open_ledger_here() as ledger:
        run_id = ledger.find_run(run).run_id
        require_free(target)
        found = _verified(ledger, run_id) if verify else None
        home = Settings().home
        made = make_bundle(ledger, ledger.run(run_id), target, home=home, verification=found)
    if output == "json":
        verification = found and found.model_dump(mode="json")
        shown = {**made.model_dump(mode="json"), "verification": verification}
        click.echo(json.dumps(shown))
    else:
        if found is not None:
            click.echo(verification_text(found))
        click.echo(f"{made.files} files about {made.items} items in {made.place}")
        for note in made.notes:
            click.echo(f"  {note}")
        click.echo(f"  digest of its SHA256SUMS: {made.digest}")
    return 0 if found is None or found.good else 1


def _verified(ledger: Ledger, run_id: RunId) -> Verification:
    require_still(ledger, run_id)
    with open_session(RunRequest(run_id=run_id), surroundings()) as session:
        return session.verify()


def _check(folder: str, output: str) -> int:
    found = check_sums(Path(folder))
    if output == "json":
        click.echo(json.dumps({"files": found.files, "problems": list(found.problems)}))
    elif found.problems:
        click.echo(f"{folder} is not as it was made:")
        for problem in found.problems[:SHOWN]:
            click.echo(f"  {problem}")
        if len(found.problems) > SHOWN:
            click.echo(f"  … {len(found.problems) - SHOWN} more; --output json has them")
    else:
        click.echo(f"{folder}: {found.files} files are as they were made")
    return 1 if found.problems else 0
