"""The acts of the demo. Each says what it does, does it, and raises where it did not come true."""

import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import click
import urllib3
from pydantic import SecretStr
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from cli.demo_data import Record, load_records
from cli.demo_stage import ATLAS, Served, Stage
from cli.local_server import LocalServer
from polly_core.errors import CannotProceed
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.run import Counts, ItemState

CHANGE_FOLDER = Path(__file__).with_name("demo_change")
LOOK_SECONDS = 0.05
APPLY_SECONDS = 300.0
SHOWN_LINES = 4


def tell(play: Stage, h5ad: Path, shared: Path) -> None:
    """The whole story.

    Raises:
        CannotProceed: a command failed, or something was written twice or not at all.
    """
    play.say(f"1. An atlas and a Prefect server, in {play.folder}")
    prefect = play.start_prefect()
    served = play.serve()
    play.say("2. Real data sets")
    fill(play, served, h5ad, shared)
    play.ready(prefect, "the Prefect server")
    play.say("3. A migration, and what it would do")
    run_id = RunId(str(uuid.uuid4()))
    plan(play, run_id)
    play.say("4. Apply it as a Prefect flow, and kill it with kill -9 half-way")
    apply_and_kill(play, run_id)
    play.run("show", run_id)
    play.say("5. Resume: what was sent and not answered is settled first")
    play.run("resume", run_id, "--yes")
    play.say("6. Verify: history and metadata of every data set that was written")
    play.run("verify", run_id)
    say_written_once(play, served, run_id)
    play.say("7. The report, which is a manifest for a next run")
    play.run("report", run_id, "--format", "csv", "-o", "report.csv")
    say_head(play.folder / "report.csv")
    play.say("8. What Prefect knows")
    say_prefect(play, run_id)


def fill(play: Stage, served: Served, h5ad: Path, shared: Path) -> None:
    """Create the data sets through the Python client."""
    records = _records(play, h5ad, shared)
    from cli.demo_load import load
    from polly_core.auth import PollySession
    from polly_core.data_management import Catalog
    from polly_core.transport.service import Service

    key = SecretStr(served.api_key)
    session = PollySession(Service(api_url=served.api_url, api_key=key))
    with _bar("creating data sets", len(records)) as (bar, task):
        load(Catalog(ATLAS, session=session), records, lambda: bar.advance(task))
    kinds = Counter(record.data_type for record in records)
    what = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
    click.echo(f"{len(records):,} data sets created with Catalog.create_dataset: {what}")


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on stderr where a person looks at it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        yield bar, bar.add_task(what, total=total)


def _records(play: Stage, h5ad: Path, shared: Path) -> Sequence[Record]:
    from cli.demo_h5ad import BROAD, FINE, slice_records

    more = shared.is_dir()
    click.echo(f"cells from {h5ad}" + (f", records from {shared}" if more else ""))
    records: list[Record] = []
    with _bar("cutting cells into data sets", None) as (bar, task):
        for record in slice_records(h5ad, play.folder / "slices", BROAD if more else FINE):
            records.append(record)
            bar.advance(task)
    if more:
        records.extend(load_records(shared))
    return records


def plan(play: Stage, run_id: RunId) -> None:
    """Show the change, plan it."""
    for path in CHANGE_FOLDER.iterdir():
        shutil.copy(path, play.folder)
    click.echo((play.folder / "change.yaml").read_text(encoding="utf-8"))
    options = ("--atlas", ATLAS, "--change", "change.yaml", "--run-id", run_id)
    play.run("plan", "update", *options, "-o", "plan.jsonl")


def apply_and_kill(play: Stage, run_id: RunId) -> None:
    """Start to apply the plan, wait until half of it is done, kill -9.

    Raises:
        CannotProceed: it ended before, or does not get that far.
    """
    child = play.start("apply", "plan.jsonl", "--run-id", run_id, "--yes")
    deadline = time.monotonic() + APPLY_SECONDS
    with open_ledger(f"sqlite:///{play.home / 'ledger.db'}") as ledger:
        while _share_done(counts := ledger.counts(run_id)) < 0.5:
            if child.poll() is not None or time.monotonic() > deadline:
                raise CannotProceed(
                    f"'polly-bulk apply' was to be killed half-way, but it ended or stalled "
                    f"(exit code {child.poll()}) with {counts.processed} of {counts.total} done"
                )
            time.sleep(LOOK_SECONDS)
    play.kill(child)
    assert child.returncode == -signal.SIGKILL
    click.echo(f"$ kill -9 {child.pid}")
    click.echo(f"killed with {counts.processed:,} of {counts.total:,} processed")


def _share_done(counts: Counts) -> float:
    return counts.processed / counts.total if counts.total else 0.0


def say_written_once(play: Stage, served: Served, run_id: RunId) -> None:
    """Compare the ledger with the server's own record of the writes of this run.

    Raises:
        CannotProceed: they differ.
    """
    from polly_core.catalog.connect import Connection, connect

    with open_ledger(f"sqlite:///{play.home / 'ledger.db'}") as ledger:
        applied = ledger.counts(run_id).of(ItemState.APPLIED)
    key = SecretStr(served.api_key)
    connection = Connection(api_url=served.api_url, api_key=key, atlas_id=AtlasId(ATLAS))
    connected = connect(connection)
    try:
        writes = Counter(each.dataset_id for each in connected.reader.ingestions(run_id))
    finally:
        connected.close()
    twice = [dataset_id for dataset_id, number in writes.items() if number > 1]
    click.echo(
        f"the server's own record: {len(writes):,} data sets written by this run, "
        f"{len(twice)} of them twice; the ledger has {applied:,} applied"
    )
    if twice or len(writes) != applied:
        raise CannotProceed(f"expected {applied} data sets written once each, see above")


def say_head(path: Path) -> None:
    """The first lines of a file."""
    with path.open(encoding="utf-8") as lines:
        click.echo("".join(islice(lines, SHOWN_LINES)).rstrip())


def say_prefect(play: Stage, run_id: RunId) -> None:
    """The flow runs of this run as Prefect's API gives them, and where to look."""
    status = LocalServer(play.home).status()
    query = {
        "flow_runs": {"tags": {"all_": [f"ingestion_run_id:{run_id}"]}},
        "sort": "START_TIME_ASC",
    }
    answer = urllib3.request("POST", f"{status.api_url}/flow_runs/filter", json=query)
    if answer.status != 200:
        raise CannotProceed(f"Prefect answered {answer.status} when asked for the run's flow runs")
    for flow_run in answer.json():
        _say_flow_run(flow_run, str(status.ui_url))


def _say_flow_run(flow_run: Mapping[str, object], ui_url: str) -> None:
    state = flow_run["state"]
    assert isinstance(state, Mapping)
    tags = flow_run["tags"]
    assert isinstance(tags, list)
    click.echo(f"flow run {flow_run['name']}: {state['name']}")
    silent = "killed: it could not say so; Prefect finds out when its heartbeat stays away"
    click.echo(f"  {state.get('message') or silent}")
    click.echo(f"  tags {', '.join(tags)}")
    click.echo(f"  in the UI: {ui_url}/runs/flow-run/{flow_run['id']}")
