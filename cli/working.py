"""What commands do with a run: plan it here, and carry it out as a flow."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from cli.options import Running
from cli.progress import shown
from cli.render import plan_text, summary_text
from polly_core.engine.meter import Progress
from polly_core.engine.planned import RunPlan, export_plan
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import Session, open_session
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import RunRow
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName, RunSummary, StopReason, budget_text
from polly_core.settings import Settings
from tasks.surroundings import surroundings_from

POLL_SECONDS = 0.2


def surroundings() -> Surroundings:
    """From the environment.

    Raises:
        CannotProceed: there is no key.
    """
    return surroundings_from(Settings())


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run that is planned; ``plan`` is None where it stopped before."""

    run: RunRow
    plan: RunPlan | None
    summary: RunSummary

    @property
    def exit_code(self) -> int:
        """0, or 1 where more items are refused than is tolerated; nothing was to be written."""
        return 1 if self.summary.counts.not_well and not self.summary.tolerated else 0


def plan_here(request: RunRequest) -> PlannedRun:
    """Select and plan behind a barrier, in this process. Nothing is written to the atlas."""
    with open_session(request, surroundings()) as session, shown("planning") as show:
        plan = _planned(session, show)
        stopped = plan is None or session.stopping is not None
        summary = session.finish() if stopped else session.summary()
        return PlannedRun(session.run, plan, summary)


def _planned(session: Session, show: Callable[[Progress], None]) -> RunPlan | None:
    found: list[RunPlan | None] = []
    failure: list[BaseException] = []
    # Not the thread's end: a join that is interrupted takes a thread that works for ended.
    ended = threading.Event()

    def work() -> None:
        try:
            session.freeze()
            found.append(session.plan())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failure.append(error)
        ended.set()

    def wait() -> None:
        while not ended.wait(POLL_SECONDS):
            show(session.progress())

    threading.Thread(target=work, name="polly-plan", daemon=True).start()
    with interruptible(session):
        wait()
    # After Ctrl-C: what is in flight ends. A second one leaves at once.
    wait()
    if failure:
        raise failure[0]
    return found[0]


@contextmanager
def interruptible(session: Session) -> Iterator[None]:
    """Ctrl-C stops the run instead of the program."""
    try:
        yield
    except KeyboardInterrupt:
        session.stop(StopReason.INTERRUPTED, "interrupted")


def carry_out(operation: OperationName, fields: JsonObject) -> RunSummary:
    """Run an operation's flow in this process, on the local Prefect server if none is set.

    Args:
        fields: of the flow's form.
    """
    # Prefect reads its settings when it is imported.
    from cli.prefect_api import prefect_api
    from flows.heap import importing

    with prefect_api(Settings().home) as api_url:
        with importing():
            from flows.catalogue import bulk_of
            from flows.running import run_here

        def say(run_id: str, flow_run_id: str) -> None:
            where = f"{api_url.removesuffix('/api')}/runs/flow-run/{flow_run_id}"
            click.echo(f"run {run_id} (ingestion_run_id); in Prefect: {where}", err=True)

        bulk = bulk_of(operation)
        with shown(operation.value) as show:
            return run_here(bulk.flow, bulk.parameters(fields), on_progress=show, on_start=say)


def run_parameters(running: Running) -> JsonObject:
    """What was given about the execution, as the flow's parameters have it."""
    if running.options is None:
        return {}
    given: JsonObject = running.options.model_dump(mode="json", exclude_unset=True)
    options = running.options
    if "tolerate" in given:
        given["tolerate"] = str(options.tolerate)
    if given.keys() & {"budget", "budgets"}:
        given["budget"] = budget_text(options.budget, options.budgets)
        given.pop("budgets", None)
    if "waves" in given:
        given["waves"] = ",".join(map(str, running.options.waves))
    return given


def open_ledger_here() -> Ledger:
    """The ledger that the environment names."""
    return open_ledger(Settings().ledger())


def save_plan(planned: PlannedRun, path: Path) -> None:
    """Write the plan file of a run that was just planned."""
    with open_ledger_here() as ledger:
        export_plan(ledger, planned.run, path)


def tell(summary: RunSummary, output: str) -> int:
    """Print how a run stands; the exit code that says the same."""
    if output == "json":
        click.echo(json.dumps(document(summary)))
    else:
        click.echo(summary_text(summary))
    return summary.exit_code


def document(summary: RunSummary) -> JsonObject:
    """The documented JSON of a run: the summary and what it means."""
    found: JsonObject = summary.model_dump(mode="json")
    found["exit_code"] = summary.exit_code
    return found


def tell_plan(planned: PlannedRun, output: str) -> None:
    """Print a plan: to stdout for a person; with JSON output the document comes at the end."""
    assert planned.plan is not None
    click.echo(plan_text(planned.run, planned.plan), err=output == "json")


def plan_document(planned: PlannedRun) -> JsonObject:
    """The documented JSON of a plan."""
    assert planned.plan is not None
    found = document(planned.summary)
    found["exit_code"] = planned.exit_code
    found["plan"] = planned.plan.summary.model_dump(mode="json")
    found["plan_digest"] = planned.plan.digest
    return found


def confirmed(question: str) -> bool:
    """Ask at the terminal.

    Raises:
        click.UsageError: there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at; add --yes to write without asking")
    return click.confirm(question, err=True)
