"""The shape that the commands of all operations share: ask for a run, plan it, do it."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from cli.options import (
    Flags,
    Given,
    Running,
    gathered,
    manifest_only,
    output_option,
    takes_planning,
    takes_running,
    takes_selection,
)
from cli.working import (
    PlannedRun,
    carry_out,
    confirmed,
    plan_document,
    plan_here,
    run_parameters,
    save_plan,
    tell,
    tell_plan,
)
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection
from polly_core.planning.wording import counted


class Described(Model):
    """What the options say is to be done to each item."""

    change: JsonObject | None = None
    """The description, as the operation's model (and the flow's form) has it."""
    change_uri: str | None = None
    form: JsonObject | None = None
    """Fields of the flow's form; None where they are those of the description."""


class Asked(Model):
    """A new run, as the command line describes it."""

    operation: OperationName
    atlas: str
    described: Described
    selection: Selection
    running: Running
    by_manifest: bool = False

    def request(self) -> RunRequest:
        """The run, behind a barrier."""
        return RunRequest(
            run_id=self.running.run_id or RunId(str(uuid4())),
            atlas_id=AtlasId(self.atlas),
            operation=self.operation,
            change=self.described.change,
            change_uri=self.described.change_uri,
            selection=self.selection,
            options=self.running.options,
            barrier=True,
        )

    def parameters(self) -> JsonObject:
        """The flow's parameters for a run that plans and writes shard by shard."""
        run: JsonObject = {"plan_first": False, "yes": True, **run_parameters(self.running)}
        if self.running.options and self.running.options.needs_plan:
            del run["plan_first"]
        if self.running.run_id is not None:
            run["run_id"] = self.running.run_id
        form = self.described.form
        fields = (self.described.change or {}) if form is None else form
        selected: JsonObject = {}
        if self.by_manifest:
            selected = {"manifest_uri": self.selection.manifest_uri}
        elif self.selection.written_by is None:
            selection = self.selection.model_dump(mode="json", exclude_none=True)
            selected = {"selection": selection}
        return {"atlas_id": self.atlas, **fields, **selected, "run": run}


def operate(asked: Asked, output: str) -> int:
    """Show the plan and ask, then write as a flow; with --yes plan and write shard by shard."""
    running = asked.running
    if running.yes and not running.dry_run:
        return tell(carry_out(asked.operation, asked.parameters()), output)
    if not running.dry_run and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at; add --yes, or --dry-run to look")
    request = asked.request()
    planned = plan_here(request)
    if planned.plan is None or planned.summary.exit_code == 4:
        return tell(planned.summary, output)
    tell_plan(planned, output)
    to_write = planned.plan.summary.counts.get("planned", 0)
    if running.dry_run:
        return _end_dry_run(planned, output)
    if to_write and not confirmed(f"{asked.operation.value} {counted(to_write, 'item')}?"):
        click.echo(
            f"nothing was written; polly-bulk resume {request.run_id} applies this plan", err=True
        )
        return 130
    return tell(carry_out(asked.operation, {"run": {"run_id": request.run_id}}), output)


def _end_dry_run(planned: PlannedRun, output: str) -> int:
    if output == "json":
        click.echo(json.dumps(plan_document(planned)))
    else:
        click.echo(
            f"nothing was written; polly-bulk resume {planned.run.run_id} applies this plan",
            err=True,
        )
    return planned.exit_code


def plan_only(asked: Asked, plan_file: str, output: str) -> int:
    """Plan into a file that can be reviewed; nothing is written to the atlas."""
    planned = plan_here(asked.request())
    if planned.plan is None:
        return tell(planned.summary, output)
    save_plan(planned, Path(plan_file))
    tell_plan(planned, output)
    if output == "json":
        click.echo(json.dumps({**plan_document(planned), "plan_file": plan_file}))
    else:
        click.echo(f"written to {plan_file}; polly-bulk apply {plan_file} does exactly that")
    return planned.exit_code


@dataclass(frozen=True, slots=True)
class OperationCommands:
    """One operation on the command line."""

    operation: OperationName
    flags: Flags
    describe: Callable[[Given], Described]
    help: str
    atlas_flag: str = "--atlas"
    by_manifest: bool = False
    """Its items are the rows of a manifest and nothing else."""
    check: Callable[[Described, Selection], None] = lambda _described, _selection: None
    """Raises ``click.UsageError`` where the two do not go together."""

    def command(self) -> click.Command:
        """Does it."""

        def run(output: str, **given: Any) -> int:
            return operate(self._asked(**given), output)

        return click.command(help=self.help)(output_option(self._with_options(run, takes_running)))

    def planning(self) -> click.Command:
        """Only plans it."""

        def run(output: str, plan_file: str, **given: Any) -> int:
            return plan_only(self._asked(**given), plan_file, output)

        where = click.option(
            "-o", "plan_file", required=True, metavar="FILE", help="Where the plan goes."
        )
        options = self._with_options(where(output_option(run)), takes_planning)
        return click.command(name=self.operation.value, help=self.help)(options)

    def _with_options(
        self, run: Callable[..., int], takes_run: Callable[[Any], Any]
    ) -> Callable[..., int]:
        atlas = click.option(
            self.atlas_flag, "atlas", required=True, metavar="ID", help="The atlas that is written."
        )
        takes_items = manifest_only if self.by_manifest else takes_selection
        described = gathered("described", self.flags, self.describe)
        decorated: Callable[..., int] = atlas(described(takes_items(takes_run(run))))
        return decorated

    def _asked(
        self, atlas: str, described: Described, selection: Selection, running: Running
    ) -> Asked:
        self.check(described, selection)
        return Asked(
            operation=self.operation,
            atlas=atlas,
            described=described,
            selection=selection,
            running=running,
            by_manifest=self.by_manifest,
        )
