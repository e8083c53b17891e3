"""``polly-bulk undo``: take back a run, chosen datasets or fields of it."""

import sys
from pathlib import Path

import click

from cli.operating import Asked, Described, operate, plan_only
from cli.options import Running, output_option, takes_running
from cli.working import open_ledger_here
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection
from polly_core.planning.manifest import ids_of, read_ids


@click.command()
@click.argument("run")
@click.option("--ids", metavar="FILE", help="Only these datasets; one id per line, or - (stdin).")
@click.option("--fields", metavar="F,F", help="Only these metadata fields, by their names.")
@click.option("--save-bytes", is_flag=True, help="Download files that it removes first.")
@click.option("-o", "plan_file", metavar="FILE", help="Only plan, into this file.")
@takes_running
@output_option
def command(
    run: str,
    *,
    ids: str | None,
    fields: str | None,
    save_bytes: bool,
    plan_file: str | None,
    running: Running,
    output: str,
) -> int:
    """Take back what a run did, and keep what others did since.

    Datasets that others have changed in the same fields are left alone and listed for a decision;
    --fields can then undo the others. It is a run like any other: it shows its plan and asks.
    """
    with open_ledger_here() as ledger:
        undone = ledger.find_run(run)
    chosen = None if ids is None else _ids(ids)
    part: JsonObject = {}
    if chosen is not None:
        part["dataset_ids"] = [*chosen]
    if fields is not None:
        part["fields"] = [name.strip() for name in fields.split(",")]
    part["save_bytes"] = save_bytes
    asked = Asked(
        operation=OperationName.UNDO,
        atlas=undone.spec.catalog.atlas_id,
        described=Described(
            change={"run_id": undone.run_id, **part}, form={"undo_of": undone.run_id, **part}
        ),
        selection=Selection(written_by=undone.run_id),
        running=running,
    )
    return operate(asked, output) if plan_file is None else plan_only(asked, plan_file, output)


def _ids(name: str) -> list[DatasetId]:
    found = list(ids_of(sys.stdin.buffer, "stdin") if name == "-" else read_ids(Path(name)))
    if not found:
        # Taken for "not given" it would undo the whole run.
        raise click.UsageError(
            "--ids names no dataset; leave it away to undo all that the run wrote"
        )
    return found
