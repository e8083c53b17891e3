"""``polly-bulk prefect``: the local Prefect server."""

import json

import click

from cli.local_server import LocalServer, Status
from polly_core.settings import Settings

NOT_RUNNING = 3


@click.group(name="prefect")
def command() -> None:
    """The local Prefect server, used where PREFECT_API_URL is not set.

    It listens on loopback only, keeps everything in the user's data folder (POLLY_HOME), and stays
    when a command ends.
    """


def output_option(function: "click.decorators.FC") -> "click.decorators.FC":
    """``--output``, the same on every command here."""
    return click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the result is printed on stdout.",
    )(function)


@command.command()
@output_option
def start(output: str) -> int:
    """Start the server, unless it runs, and wait until it answers."""
    server = LocalServer(Settings().home)
    click.echo("looking for the local Prefect server, or starting it …", err=True)
    server.ensure()
    return _print(server.status(), output)


@command.command()
@output_option
def stop(output: str) -> int:
    """Stop the server once everything it was told is written down.

    Runs that are under way go on; what Prefect shows of them is incomplete then.
    """
    server = LocalServer(Settings().home)
    click.echo("letting the local Prefect server write down what it was told …", err=True)
    if not server.stop():
        click.echo("it was not running", err=True)
    _print(server.status(), output)
    return 0


@command.command()
@output_option
def status(output: str) -> int:
    """Whether the server runs, and where. The exit code is 3 when it does not."""
    return _print(LocalServer(Settings().home).status(), output)


def _print(found: Status, output: str) -> int:
    if output == "json":
        click.echo(json.dumps(found.model_dump(), indent=2))
    elif found.running:
        click.echo(f"running: {found.ui_url} (Prefect {found.version}, process {found.pid})")
        click.echo(f"to use it elsewhere: export PREFECT_API_URL={found.api_url}")
        click.echo(f"log: {found.log}")
    else:
        click.echo(f"not running; its records are in {found.home}")
    return 0 if found.running else NOT_RUNNING
