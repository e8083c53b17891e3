"""``polly-bulk report``: every item of a run, as a file that is also a manifest."""

import sys
from pathlib import Path

import click

from cli.working import open_ledger_here
from polly_core.engine.report import report_rows
from polly_core.engine.reportfile import FORMATS, write_rows
from polly_core.models.run import ENDED_WELL, NOT_PROCESSED, NOT_WELL, ItemState

GROUPS = {"well": ENDED_WELL, "not-well": NOT_WELL, "not-processed": NOT_PROCESSED}


@click.command()
@click.argument("run")
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="jsonl",
    show_default=True,
)
@click.option(
    "--only",
    metavar="OUTCOME,…",
    help="Outcomes (applied, failed, …) or groups: well, not-well, not-processed.",
)
@click.option("-o", "path", metavar="FILE", help="Where it goes; stdout when absent.")
def command(run: str, kind: str, only: str | None, path: str | None) -> int:
    """Write a run's items. The file is a valid manifest for the next run."""
    states = None if only is None else _states(only)
    if path is None and kind == "parquet":
        raise click.UsageError("Parquet is not text; name a file with -o")
    with open_ledger_here() as ledger:
        known = ledger.find_run(run)
        rows = report_rows(ledger, known.run_id, states=states)
        if path is None:
            write_rows(rows, kind, sys.stdout.buffer)
            return 0
        part = Path(f"{path}.part")
        with part.open("wb") as stream:
            number = write_rows(rows, kind, stream)
        part.replace(path)
    click.echo(f"{number} items in {path}", err=True)
    return 0


def _states(only: str) -> frozenset[ItemState]:
    found: set[ItemState] = set()
    for name in only.split(","):
        if name in GROUPS:
            found |= GROUPS[name]
        elif name in set(ItemState):
            found.add(ItemState(name))
        else:
            known = ", ".join([*GROUPS, *(state.value for state in ItemState)])
            raise click.BadParameter(f"{name!r} is none of {known}", param_hint="--only")
    return frozenset(found)
