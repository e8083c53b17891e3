"""``polly-bulk export``: the metadata of a selection as a sheet that is a manifest."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from cli.options import output_option, takes_selection
from cli.working import surroundings
from polly_core.engine.exporting import ExportRequest, export_sheet
from polly_core.models.catalog import AtlasId
from polly_core.models.selection import Selection

SAID_EVERY = 500


@click.command()
@click.option("--atlas", required=True, metavar="ID", help="The atlas.")
@click.option(
    "-o", "path", required=True, metavar="FILE", help="Ends in .csv, .tsv, .jsonl or .parquet."
)
@click.option("--field", "fields", multiple=True, metavar="F", help="Only this metadata field.")
@click.option("--excel", is_flag=True, help="CSV and TSV as spreadsheets like them (BOM, CRLF).")
@click.option("--concurrency", type=click.IntRange(1, 1024), default=64, show_default=True)
@takes_selection
@output_option
def command(
    atlas: str,
    path: str,
    fields: tuple[str, ...],
    excel: bool,
    concurrency: int,
    selection: Selection,
    output: str,
) -> int:
    """Write metadata as a sheet: a row for each dataset, a typed column for each field.

    Edited and given to 'update --manifest', it changes the edited cells alone, and refuses those
    that somebody else has changed since. An empty cell leaves the field alone; <null>, <delete>
    and <empty> say the rest.
    """
    request = ExportRequest(
        atlas_id=AtlasId(atlas),
        selection=selection,
        path=Path(path),
        fields=fields,
        spreadsheet=excel,
        concurrency=concurrency,
    )
    number = export_sheet(request, surroundings(), on_progress=_progress())
    if output == "json":
        click.echo(json.dumps({"datasets": number, "file": path}))
    else:
        click.echo(
            f"{number} datasets in {path}; edit it, then: "
            f"polly-bulk update --atlas {atlas} --manifest {path}"
        )
    return 0


def _progress() -> Callable[[int], None]:
    """Tells a person at a terminal how far it is."""
    if not sys.stderr.isatty():
        return lambda _: None

    def show(number: int) -> None:
        if number % SAID_EVERY == 0:
            click.echo(f"{number} datasets read", err=True)

    return show
