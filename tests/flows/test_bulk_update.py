"""The bulk update flow in one process: outcomes, states, and what it leaves in Prefect."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

from polly_core.engine.meter import Progress
from polly_core.errors import CannotProceed, InvalidInput, RunMismatch
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, RunState, RunSummary, StopReason
from tests.flows.conftest import RENAME, Bench, human
from tests.support.datasets import version_counts
from tests.support.prefect import artifacts_of

pytestmark = pytest.mark.timeout(240)

# A text cannot be renamed to a field below another text: such datasets are invalid.
NESTED: JsonObject = {"steps": [{"rename": "species", "to": "sample.organism"}]}


def blocked(count: int, bad: int) -> dict[str, JsonObject]:
    """Datasets of which some refuse ``NESTED``."""
    datasets = human(count)
    for metadata in list(datasets.values())[-bad:]:
        metadata["sample"] = "a text"
    return datasets


def test_second_application_writes_nothing(bench: Bench) -> None:
    """The same run id answers with its report; another run finds nothing to change."""
    bench.fill(human(30))
    first = bench.update()
    assert first.counts.by_state == {ItemState.APPLIED: 30}
    again = bench.update(run_id=first.run_id)
    assert again.counts == first.counts
    assert len(again.flow_run_ids) == 2
    other = bench.update(plan_first=False, yes=True)
    assert other.counts.by_state == {ItemState.UNCHANGED: 30}
    assert set(version_counts(bench.atlas, bench.atlas_id).values()) == {2}


def test_bad_ends_are_failed_or_tolerated_by_name(bench: Bench) -> None:
    """The same outcome, once refused and once allowed; the bad items stand first in the table."""
    bench.fill(blocked(12, bad=2))
    refused = bench.update(NESTED)
    assert refused.exit_code == 1
    run = bench.client.read_flow_run(UUID(refused.run_id))
    assert run.state is not None
    assert run.state_name == "Failed"
    assert run.state.message == f"ingestion_run_id={refused.run_id} ok=10/12 failed=2"
    assert RunSummary.model_validate(run.state.result(raise_on_failure=False)) == refused
    table = artifacts_of(bench.client, run.id)["run-items"].data
    assert isinstance(table, str)
    rows = json.loads(table)
    assert [row["outcome"] for row in rows[:3]] == ["invalid", "invalid", "applied"]
    assert rows[0]["reasons"]

    allowed = bench.update(NESTED, tolerate="2")
    assert allowed.exit_code == 0
    run = bench.client.read_flow_run(UUID(allowed.run_id))
    assert (run.state_type.value if run.state_type else "") == "COMPLETED"
    assert run.state_name == "CompletedWithErrors"


def test_errors_come_out_as_they_are_and_the_flow_run_says_them(bench: Bench) -> None:
    """A caller sees the project's own error; Prefect has a failed run with its words."""
    bench.fill(human(1))
    with pytest.raises(InvalidInput, match="step"):
        bench.update({"steps": [{"no such step": 1}]})
    first = bench.update()
    with pytest.raises(RunMismatch):
        bench.update({"steps": [{"unset": "number"}]}, run_id=first.run_id)
    name = FlowRunFilterName(any_=[f"update-{first.run_id}"])
    mine = bench.client.read_flow_runs(flow_run_filter=FlowRunFilter(name=name))
    assert {run.state_name for run in mine} == {"Completed", "Failed"}


def test_more_in_flight_than_all_runs_may_have_is_refused(bench: Bench) -> None:
    """It would wait for slots for ever; the run stays resumable."""
    bench.fill(human(1))
    summary = bench.update(concurrency=1000)
    assert summary.stop is StopReason.CANNOT_PROCEED
    assert "prefect gcl update polly-api --limit 1000" in summary.message
    assert bench.update(run_id=summary.run_id, concurrency=4).counts.ended_well == 1


@pytest.fixture
def heard() -> Iterator[None]:
    """SIGINT is heard, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGTERM, StopReason.CANCELLED), (signal.SIGINT, StopReason.INTERRUPTED)],
)
def test_signals_stop_the_run_and_it_can_be_taken_up(
    bench: Bench, number: signal.Signals, reason: StopReason
) -> None:
    """A signal in mid-run: what is in flight is recorded, the state is Cancelled, then resumed."""
    bench.fill(human(150))
    sent: list[int] = []

    def interrupt(progress: Progress) -> None:
        if progress.counts.processed and not sent:
            sent.append(progress.counts.processed)
            os.kill(os.getpid(), number)

    stopped = bench.update(concurrency=1, shard_size=50, on_progress=interrupt)
    assert sent
    assert (stopped.state, stopped.stop, stopped.exit_code) == (RunState.STOPPED, reason, 130)
    assert sent[0] <= stopped.counts.ended_well < 150
    assert stopped.counts.of(ItemState.SENT, ItemState.UNKNOWN) == 0
    run = bench.client.read_flow_run(UUID(stopped.run_id))
    assert run.state is not None
    assert run.state_name == "Cancelled"
    assert f"polly-bulk resume {stopped.run_id}" in str(run.state.message)

    resumed = bench.update(RENAME, run_id=stopped.run_id)
    assert resumed.counts.by_state == {ItemState.APPLIED: 150}
    assert set(version_counts(bench.atlas, bench.atlas_id).values()) == {2}


def test_a_flow_run_that_prefect_gives_up_is_recorded_too(bench: Bench) -> None:
    """As when the slot of the deployment's limit was lost."""
    bench.fill(human(60))

    def give_up(progress: Progress) -> None:
        if progress.counts.processed and "once" not in given_up:
            given_up.append("once")
            raise asyncio.CancelledError

    given_up: list[str] = []
    stopped = bench.update(concurrency=1, shard_size=20, on_progress=give_up)
    assert (stopped.state, stopped.stop) == (RunState.STOPPED, StopReason.INTERRUPTED)
    assert stopped.counts.of(ItemState.SENT, ItemState.UNKNOWN) == 0
    assert bench.update(run_id=stopped.run_id).counts.by_state == {ItemState.APPLIED: 60}


def test_a_prefect_server_restarted_mid_run_costs_nothing(bench: Bench) -> None:
    """Shards go on while it is away; state, tags and artifacts are complete in the end."""
    bench.fill(human(150))
    seen: dict[str, int] = {}

    def restart(progress: Progress) -> None:
        if progress.counts.processed and "down" not in seen:
            bench.server.local.stop()
            seen["down"] = progress.counts.processed
        elif "down" in seen and "up" not in seen and progress.counts.processed > seen["down"]:
            seen["up"] = progress.counts.processed
            bench.server.local.ensure()

    summary = bench.update(concurrency=1, shard_size=50, on_progress=restart)
    bench.server.local.ensure()
    assert seen["up"] > seen["down"]
    assert summary.counts.by_state == {ItemState.APPLIED: 150}
    run = bench.client.read_flow_run(UUID(summary.run_id))
    assert run.state_name == "Completed"
    assert f"ingestion_run_id:{summary.run_id}" in run.tags
    artifacts = artifacts_of(bench.client, run.id)
    assert RunSummary.model_validate(artifacts["run-summary"].data) == summary
    assert artifacts["run-progress"].data == 100


def test_without_a_key_it_says_what_to_set(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLLY_API_KEY")
    with pytest.raises(CannotProceed, match="set POLLY_API_KEY"):
        bench.update()
