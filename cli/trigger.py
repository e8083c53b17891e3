"""``polly-bulk trigger``: start a deployment, as CI does, and say how it ended."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.options import gathered, output_option
from cli.prefect_api import prefect_api
from cli.render import summary_text
from cli.working import document
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.settings import Settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from deployments.following import Ending, Follower, Patience

INTERRUPTED = 130
CANCEL_SECONDS = 120.0


class Waiting(Model):
    """Whether and how long a command follows what it started."""

    wait: bool
    timeout: float | None
    start_timeout: float
    cancel_on_interrupt: bool


takes_waiting = gathered(
    "waiting",
    {
        "--wait": {"is_flag": True, "help": "Follow it, and exit as the run ended."},
        "--timeout": {
            "type": click.FloatRange(min=0),
            "metavar": "S",
            "help": "With --wait: seconds until this gives up, with 3; the run goes on.",
        },
        "--start-timeout": {
            "type": click.FloatRange(min=0),
            "metavar": "S",
            "default": 600.0,
            "show_default": True,
            "help": "With --wait: the same where no worker takes the run.",
        },
        "--cancel-on-interrupt": {
            "is_flag": True,
            "help": "With --wait: Ctrl-C and SIGTERM cancel the run.",
        },
    },
    Waiting.model_validate,
)


@click.command()
@click.argument("deployment", metavar="DEPLOYMENT")
@click.option(
    "-p",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter, like update.run.concurrency=16: JSON, else text; KEY=@FILE reads YAML "
    "or JSON. The others stay as the deployment has them.",
)
@click.option(
    "--parameters", "files", multiple=True, metavar="FILE", help="Parameters as YAML or JSON."
)
@takes_waiting
@output_option
def command(
    deployment: str,
    settings: tuple[str, ...],
    files: tuple[str, ...],
    waiting: Waiting,
    output: str,
) -> int:
    """Start a flow run of DEPLOYMENT (flow/name) on the Prefect server.

    Parameters are checked before anything is started. With --wait the exit code is that of the
    run: 0 well, 1 not well, 3 could not go on, 4 budget, 130 cancelled.
    """
    with prefect_api(Settings().home) as api_url:
        from prefect.client.orchestration import get_client

        from deployments.following import Follower, Patience, ending_of
        from deployments.parameters import read_document, read_setting
        from deployments.starting import deployment_of, parameters_for, start

        given = [read_setting(text) for text in settings]
        documents = [read_document(name) for name in files]
        with get_client(sync_client=True) as client:
            target = deployment_of(client, deployment)
            flow_run = start(client, target, parameters_for(target, documents, given))
            where = f"{api_url.removesuffix('/api')}/runs/flow-run/{flow_run.id}"
            click.echo(f"flow run {flow_run.name} of {deployment}: {where}", err=True)
            if not waiting.wait:
                return _tell_started(flow_run, where, output)
            follower = Follower(client, flow_run.id, say=lambda text: click.echo(text, err=True))
            patience = Patience(end=waiting.timeout, start=waiting.start_timeout)
            ended = _follow(follower, patience, cancel=waiting.cancel_on_interrupt)
            if ended is None:
                return INTERRUPTED
            return _tell_ending(ending_of(client, ended), where, output)


def _follow(follower: "Follower", patience: "Patience", *, cancel: bool) -> "FlowRun | None":
    """The flow run at its end; None where somebody stopped watching before."""
    from deployments.following import Patience

    with _terminable():
        try:
            return follower.to_the_end(patience)
        except KeyboardInterrupt:
            if not cancel:
                click.echo(f"interrupted. {follower.goes_on()}", err=True)
                return None
        try:
            follower.cancel()
            click.echo("cancelling: what is in flight is recorded first …", err=True)
            return follower.to_the_end(Patience(end=CANCEL_SECONDS, start=None))
        except KeyboardInterrupt:
            click.echo("interrupted again; the run is being cancelled", err=True)
            return None


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, which CI sends, is heard like Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_started(flow_run: "FlowRun", where: str, output: str) -> int:
    if output == "json":
        found = {"flow_run_id": str(flow_run.id), "flow_run_url": where}
        click.echo(json.dumps({**found, "flow_run_state": flow_run.state_name}))
    else:
        click.echo(str(flow_run.id))
    return 0


def _tell_ending(ending: "Ending", where: str, output: str) -> int:
    """One document, that of the run where there is one, and where to look further."""
    run = ending.flow_run
    found: JsonObject = document(ending.summary) if ending.summary else {"message": ending.message}
    found |= {
        "flow_run_id": str(run.id),
        "flow_run_url": where,
        "flow_run_state": run.state_name,
        "exit_code": ending.exit_code,
    }
    if output == "json":
        click.echo(json.dumps(found))
    elif ending.summary is not None:
        click.echo(summary_text(ending.summary))
    if ending.summary is None or ending.exit_code == 3:
        click.echo(f"flow run {run.name} is {run.state_name}: {ending.message}", err=True)
    if str(run.state_name) == "Crashed":
        click.echo(
            f"its process is gone; take the run up with: prefect flow-run retry {run.id} "
            "(or polly-bulk resume RUN)",
            err=True,
        )
    return ending.exit_code
