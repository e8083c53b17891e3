"""Runs of deployments at the same time: of one run id, and beside one that waits for approval."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, StateType

from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.run import RunSummary
from tests.support.datasets import fill, version_counts
from tests.support.deployed import POOL, Deployed, datasets, update_of
from tests.support.prefect import artifacts_of, ended, eventually

pytestmark = pytest.mark.timeout(400)


@contextmanager
def places(deployed: Deployed, number: int) -> Iterator[None]:
    """So many runs at a time."""
    queue = deployed.client.read_work_queue_by_name("bulk", work_pool_name=POOL)
    deployed.client.update_work_queue(queue.id, concurrency_limit=number)
    yield
    deployed.client.update_work_queue(queue.id, concurrency_limit=1)


def state_of(deployed: Deployed, run_id: UUID) -> StateType | None:
    return deployed.client.read_flow_run(run_id).state_type


def test_two_flow_runs_of_one_run_write_nothing_twice(deployed: Deployed) -> None:
    """Both start with one run id at the same time; they share selection, plan and shards."""
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, datasets(200))
    run_id = RunId(str(uuid4()))
    parameters = update_of(atlas_id, run_id=run_id, concurrency=1, shard_size=10)
    with places(deployed, 2):
        both = [deployed.start(parameters) for _ in range(2)]
        runs = [ended(deployed.client, one) for one in both]
    assert {run.state_name for run in runs} == {"Completed"}, [run.state for run in runs]
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}
    with open_ledger(deployed.ledger_url) as ledger:
        executions = ledger.executions(run_id)
        counts = ledger.counts(run_id)
    ends = [execution.ended_at for execution in executions if execution.ended_at]
    assert len(ends) == 2
    assert max(execution.started_at for execution in executions) < min(ends), "not at once"
    assert (counts.ended_well, counts.total) == (200, 200)
    for run in runs:
        found = artifacts_of(deployed.client, run.id)["run-summary"]
        assert set(RunSummary.model_validate(found.data).flow_run_ids) == set(map(str, both))


def test_a_run_that_waits_for_approval_leaves_its_place_to_others(deployed: Deployed) -> None:
    """Paused with the plan; another run comes and goes; the command line's approval lets it on."""
    first, second = deployed.atlas.new_atlas(), deployed.atlas.new_atlas()
    for atlas_id in (first, second):
        fill(deployed.atlas, atlas_id, datasets(12))
    waiting = deployed.start(update_of(first, approval="plan"))
    paused = eventually(lambda: paused_run(deployed, waiting), seconds=120, what="the question")
    assert paused.state is not None
    keyset = paused.state.state_details.run_input_keyset
    assert keyset is not None
    question = deployed.client.read_flow_run_input(waiting, keyset["description"])
    with open_ledger(deployed.ledger_url) as ledger:
        digest = ledger.run(RunId(str(waiting))).plan_digest
    assert digest is not None
    assert digest in question

    beside = ended(deployed.client, deployed.start(update_of(second)))
    assert beside.state_name == "Completed"
    assert state_of(deployed, waiting) is StateType.PAUSED
    assert set(version_counts(deployed.atlas, first).values()) == {1}

    with open_ledger(deployed.ledger_url) as ledger:
        ledger.approve(RunId(str(waiting)), digest, 0, "Ada")
    run = ended(deployed.client, waiting)
    assert run.state is not None
    assert run.state.message == f"ingestion_run_id={waiting} ok=12/12 failed=0"
    assert set(version_counts(deployed.atlas, first).values()) == {2}


def paused_run(deployed: Deployed, run_id: UUID) -> FlowRun | None:
    run = deployed.client.read_flow_run(run_id)
    assert run.state is None or not run.state.is_final(), run.state
    return run if run.state_type is StateType.PAUSED else None


def test_a_rejected_run_ends_cancelled_and_can_be_taken_up(deployed: Deployed) -> None:
    """By the form in Prefect, as its UI sends it."""
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, datasets(3))
    asked = deployed.start(update_of(atlas_id, approval="plan"))
    eventually(lambda: paused_run(deployed, asked), seconds=120, what="the question")
    deployed.client.resume_flow_run(
        asked, run_input={"decision": "reject", "approved_by": "Ada", "plan_digest": ""}
    )
    run = ended(deployed.client, asked)
    assert run.state is not None
    assert run.state_name == "Cancelled"
    assert "rejected by Ada" in str(run.state.message)
    assert f"polly-bulk resume {asked}" in str(run.state.message)
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {1}

    again = deployed.start({"update": {"run": {"run_id": str(asked)}}})
    paused = eventually(lambda: paused_run(deployed, again), seconds=120, what="another question")
    assert paused.state is not None
    with open_ledger(deployed.ledger_url) as ledger:
        digest = str(ledger.run(RunId(str(asked))).plan_digest)
    deployed.client.resume_flow_run(
        again, run_input={"decision": "approve", "approved_by": "Bo", "plan_digest": digest}
    )
    assert ended(deployed.client, again).state_name == "Completed"
    with open_ledger(deployed.ledger_url) as ledger:
        (approval,) = ledger.approvals(RunId(str(asked)))
    assert (approval.by, approval.plan_digest) == ("Bo", digest)
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}
