"""``polly-bulk deploy``: everything a Prefect server needs to run bulk operations."""

import json
from pathlib import Path

import click

from cli.options import output_option
from cli.prefect_api import prefect_api
from polly_core.errors import CannotProceed
from polly_core.settings import Settings


@click.command()
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The checkout with prefect.yaml, as the workers see it. Default: this one.",
)
@click.option(
    "--reset",
    is_flag=True,
    help="Schedules, parameters and pauses as in prefect.yaml, whatever was edited since.",
)
@output_option
def command(folder: Path | None, reset: bool, output: str) -> int:
    """Set up the work pool, its queues, limits, automation and every deployment.

    Again it does no harm: what was edited on the server stays. A schedule is switched on where the
    variables in its parameters (POLLY_BULK_…) are set, and left out otherwise.
    """
    said: list[str] = []
    with prefect_api(Settings().home) as api_url:
        import httpx
        from prefect.client.orchestration import get_client

        from deployments.deploying import ROOT, deploy

        try:
            with get_client(sync_client=True) as client:
                for line in deploy(client, folder=(folder or ROOT).resolve(), reset=reset):
                    said.append(line)
                    click.echo(line, err=output == "json")
        except httpx.HTTPError as error:
            raise CannotProceed(f"Prefect at {api_url}: {error}") from error
    if output == "json":
        click.echo(json.dumps({"api_url": api_url, "done": said}))
    else:
        click.echo("runs need a worker: prefect worker start --pool polly-bulk", err=True)
    return 0
