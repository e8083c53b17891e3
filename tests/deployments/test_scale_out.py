"""A run that is spread over two workers, with its ledger in PostgreSQL."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.filters import FlowRunFilterTags as Tags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling

from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.run import RunState, RunSummary
from tests.support.datasets import fill, version_counts
from tests.support.deployed import POOL, Deployed, datasets, deployed_on, process_id, update_of
from tests.support.postgres import PostgresServer
from tests.support.prefect import PrefectServer, artifacts_of, ended, eventually

pytestmark = pytest.mark.timeout(400)

ALL, SPREAD = 120, 40


@pytest.fixture(scope="module")
def deployed(
    prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Two workers with two places each: a run and its three blocks need both."""
    folder = tmp_path_factory.mktemp("deployed")
    with ExitStack() as stack:
        url = stack.enter_context(stack.enter_context(PostgresServer()).schema())
        found = stack.enter_context(deployed_on(prefect_server, folder, ledger_url=url, limit=2))
        log, environment = folder / "other.log", found.worker_environment
        stack.enter_context(prefect_server.worker(POOL, environment, log, limit=2))
        yield found


def spread(deployed: Deployed, **run: object) -> tuple[str, UUID]:
    """A fresh atlas, and a flow run that spreads an update of it."""
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, datasets(ALL))
    given = {"concurrency": 1, "shard_size": 10, "spread": SPREAD, **run}
    return atlas_id, deployed.start(update_of(atlas_id, **given))


def blocks_of(deployed: Deployed, run_id: UUID) -> list[FlowRun]:
    """The flow runs of its blocks, however they were asked for."""
    return deployed.client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["bulk-block"])),
        flow_run_filter=FlowRunFilter(tags=Tags(all_=[f"ingestion_run_id:{run_id}"])),
    )


def at_work(deployed: Deployed, run_id: UUID) -> list[int]:
    """Processes of blocks that have begun to write."""
    with open_ledger(deployed.ledger_url) as ledger:
        if str(run_id) not in {run.run_id for run in ledger.runs()}:
            return []
        if not ledger.counts(RunId(str(run_id))).processed:
            return []
        owners = {shard.owner for shard in ledger.shards(RunId(str(run_id)))}
        living = ledger.executions(RunId(str(run_id)), living=True)
    return [process_id(one.process) for one in living if one.execution_id in owners]


def a_block_of(deployed: Deployed, run_id: UUID) -> int:
    """The process of a block that has begun to write."""
    return eventually(lambda: at_work(deployed, run_id), seconds=200, what="a block at work")[0]


def test_both_workers_do_it_and_a_killed_block_is_done_by_another(deployed: Deployed) -> None:
    """kill -9 of one of three processes: every dataset is written once, the run ends well."""
    atlas_id, run_id = spread(deployed)
    os.kill(a_block_of(deployed, run_id), signal.SIGKILL)
    run = ended(deployed.client, run_id)
    assert run.state is not None
    assert run.state.message == f"ingestion_run_id={run_id} ok={ALL}/{ALL} failed=0"
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}
    summary = RunSummary.model_validate(artifacts_of(deployed.client, run_id)["run-summary"].data)
    assert (summary.state, summary.counts.ended_well) == (RunState.FINISHED, ALL)

    blocks = blocks_of(deployed, run_id)
    crashed = [one for one in blocks if one.state_type is StateType.CRASHED]
    assert sorted(str(one.state_name) for one in blocks) == ["Completed"] * 3 + ["Crashed"]
    assert set(summary.flow_run_ids) == {str(run_id), *(str(one.id) for one in blocks)}
    for one in blocks:
        assert {f"atlas:{atlas_id}", "operation:update", "polly-bulk"} <= set(one.tags)
        assert one.name.startswith(f"block-{run_id}-")
        assert one.parent_task_run_id is not None
        if one not in crashed:
            shards = one.name.removeprefix(f"block-{run_id}-")
            said = f"ingestion_run_id={run_id} shards {shards}: ok={SPREAD}/{SPREAD} failed=0"
            assert one.state is not None
            assert one.state.message == said
    other = deployed.worker_log.with_name("other.log")
    for log in (deployed.worker_log, other):
        said = log.read_text()
        assert any(str(one.id) in said for one in blocks), "this worker did nothing"


def test_a_cancel_reaches_every_block_and_the_run_is_taken_up(deployed: Deployed) -> None:
    atlas_id, first = spread(deployed)
    a_block_of(deployed, first)
    deployed.client.set_flow_run_state(first, Cancelling())
    cancelled = ended(deployed.client, first)
    assert cancelled.state is not None
    assert cancelled.state_name == "Cancelled"
    assert f"polly-bulk resume {first}" in str(cancelled.state.message)
    with open_ledger(deployed.ledger_url) as ledger:
        counts = ledger.counts(RunId(str(first)))
        assert ledger.executions(RunId(str(first)), living=True) == []
        assert ledger.run(RunId(str(first))).state is RunState.STOPPED
    assert 0 < counts.ended_well < ALL
    assert counts.not_well == 0
    assert {ended(deployed.client, one.id).state_type for one in blocks_of(deployed, first)} == {
        StateType.CANCELLED
    }

    again = {"run_id": str(first), "spread": ALL, "concurrency": 8}
    run = ended(deployed.client, deployed.start({"update": {"run": again}}))
    assert run.state is not None
    assert run.state.message == f"ingestion_run_id={first} ok={ALL}/{ALL} failed=0"
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}
    states = [one.state_name for one in blocks_of(deployed, first)]
    assert sorted(map(str, states)) == ["Cancelled"] * 3 + ["Completed"]
