"""``polly-bulk update``: bulk metadata update."""

import json
import sys
from uuid import uuid4

import click

from cli.options import Given, Running, gathered, output_option, takes_running, takes_selection
from cli.working import (
    PlannedRun,
    carry_out,
    confirmed,
    plan_document,
    plan_here,
    run_parameters,
    tell,
    tell_plan,
)
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.selection import Selection
from polly_core.planning.flags import change_from_flags
from polly_core.transport.sources import absolute


class ChangeGiven(Model):
    """The change as the flags give it."""

    change: JsonObject | None = None
    change_uri: str | None = None


def _change(given: Given) -> ChangeGiven:
    flags = bool(given["set"] or given["unset"] or given["rename"])
    if given["change"] and flags:
        raise click.UsageError("--change is given beside --set, --unset or --rename; keep one kind")
    if given["change"]:
        return ChangeGiven(change_uri=absolute(given["change"]))
    if not flags:
        return ChangeGiven()
    change = change_from_flags(sets=given["set"], unsets=given["unset"], renames=given["rename"])
    return ChangeGiven(change=change.to_json())


takes_change = gathered(
    "change",
    {
        "--change": {"metavar": "FILE", "help": "YAML or JSON file with the steps."},
        "--set": {"multiple": True, "metavar": "K=V", "help": "Give a field a value."},
        "--unset": {"multiple": True, "metavar": "K", "help": "Remove a field."},
        "--rename": {"multiple": True, "metavar": "A=B", "help": "Move a field."},
    },
    _change,
)

atlas_option = click.option("--atlas", required=True, metavar="ID", help="The atlas.")


def request_of(
    atlas: str, change: ChangeGiven, selection: Selection, running: Running
) -> RunRequest:
    """The run that the command line describes, behind a barrier."""
    if change == ChangeGiven() and selection.manifest_uri is None:
        raise click.UsageError(
            "nothing is to be changed: give --change, --set, --unset or --rename, "
            "or a --manifest with metadata.* columns"
        )
    return RunRequest(
        run_id=running.run_id or RunId(str(uuid4())),
        atlas_id=AtlasId(atlas),
        change=change.change,
        change_uri=change.change_uri,
        selection=selection,
        options=running.options,
        barrier=True,
    )


@click.command()
@atlas_option
@takes_change
@takes_selection
@takes_running
@output_option
def command(
    atlas: str, change: ChangeGiven, selection: Selection, running: Running, output: str
) -> int:
    """Update the metadata or data type of many datasets.

    Shows the plan and asks, then writes as a Prefect flow. With --yes it does not ask, and plans
    and writes shard by shard.
    """
    request = request_of(atlas, change, selection, running)
    if running.yes and not running.dry_run:
        return tell(carry_out(_parameters(request, running)), output)
    if not running.dry_run and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at; add --yes, or --dry-run to look")
    planned = plan_here(request)
    if planned.plan is None or planned.summary.exit_code == 4:
        return tell(planned.summary, output)
    tell_plan(planned, output)
    to_write = planned.plan.summary.counts.get("planned", 0)
    if running.dry_run:
        return _end_dry_run(planned, output)
    if to_write and not confirmed(f"Write {to_write} datasets?"):
        click.echo(
            f"nothing was written; polly-bulk resume {request.run_id} applies this plan", err=True
        )
        return 130
    return tell(carry_out({"run": {"run_id": request.run_id}}), output)


def _end_dry_run(planned: PlannedRun, output: str) -> int:
    if output == "json":
        click.echo(json.dumps(plan_document(planned)))
    else:
        click.echo(
            f"nothing was written; polly-bulk resume {planned.run.run_id} applies this plan",
            err=True,
        )
    return 0


def _parameters(request: RunRequest, running: Running) -> JsonObject:
    """The flow's parameters for a run that plans and writes shard by shard."""
    selection = request.selection.model_dump(mode="json", exclude_none=True)
    run: JsonObject = {"plan_first": False, "yes": True, **run_parameters(running)}
    if running.run_id is not None:
        run["run_id"] = running.run_id
    return {
        "atlas_id": request.atlas_id,
        "change": request.change or {},
        "change_uri": request.change_uri or "",
        "selection": selection,
        "run": run,
    }
