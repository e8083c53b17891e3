"""The deployment of prefect.yaml, run by a worker; read back through Prefect's API."""

import json
from uuid import UUID

import pytest
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelling

from polly_core.models.run import RunState, RunSummary
from tests.support.datasets import fill, version_counts
from tests.support.deployed import DEPLOYMENT, Deployed, datasets, update_of
from tests.support.prefect import artifacts_of, ended, eventually, logs_of, task_runs_of

pytestmark = pytest.mark.timeout(600)


def test_it_is_scheduled(deployed: Deployed) -> None:
    """With the wrong SQLAlchemy a cron deployment never gets a run, and nothing says so."""
    deployment = deployed.client.read_deployment_by_name(DEPLOYMENT)
    theirs = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Scheduled"])),
    )
    runs = eventually(
        lambda: [
            run
            for run in deployed.client.read_flow_runs(flow_run_filter=theirs)
            if run.auto_scheduled
        ],
        seconds=100,
        what="a scheduled run",
    )
    times = {run.expected_start_time for run in runs}
    assert {(time.hour, time.minute) for time in times if time} == {(2, 30)}
    assert runs[0].parameters["update"]["change_uri"] == "s3://changes/nightly.yaml"


def test_its_form_is_its_manual_and_refuses_what_does_not_fit(deployed: Deployed) -> None:
    """Order, descriptions and defaults as the parameter models have them; no run is made."""
    deployment = deployed.client.read_deployment_by_name(DEPLOYMENT)
    schema = deployment.parameter_openapi_schema
    assert schema is not None
    models = schema["definitions"]
    assert list(models["BulkUpdate"]["properties"]) == [
        "atlas_id",
        "selection",
        "change",
        "change_uri",
        "run",
        "credentials",
    ]
    for model in ("BulkUpdate", "SelectionForm", "ExecutionForm"):
        for name, field in models[model]["properties"].items():
            assert field["description"], name
            assert "default" in field, name
    with pytest.raises(PrefectHTTPStatusError) as refused:
        deployed.start(update_of("9", concurrency=0))
    assert refused.value.response.status_code == 409


def test_a_run_shows_everything_in_prefect(deployed: Deployed) -> None:
    """State, message, data, tags, name, artifacts, task runs and logs; no secret anywhere."""
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, datasets(45))
    run_id = deployed.start(update_of(atlas_id, shard_size=20))
    run = ended(deployed.client, run_id)

    assert run.state is not None
    assert run.state_name == "Completed", run.state.message
    assert run.state.message == f"ingestion_run_id={run_id} ok=45/45 failed=0"
    assert run.name == f"update-{run_id}"
    wanted = {f"ingestion_run_id:{run_id}", f"atlas:{atlas_id}", "operation:update", "polly-bulk"}
    assert set(run.tags) == wanted
    summary = RunSummary.model_validate(run.state.result())
    assert (summary.run_id, summary.state) == (str(run_id), RunState.FINISHED)
    assert summary.plan_digest
    check_artifacts(deployed, run_id, summary)
    names = {"select", "plan", "shard-0", "shard-1", "shard-2"}
    eventually(
        lambda: {task.name for task in task_runs_of(deployed.client, run_id)} == names,
        what="the record of every task run",
    )
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}
    check_secrecy(deployed, run)


def check_artifacts(deployed: Deployed, run_id: UUID, summary: RunSummary) -> None:
    found = artifacts_of(deployed.client, run_id)
    assert set(found) == {"run-progress", "run-summary", "run-report", "run-items", "run-files"}
    assert RunSummary.model_validate(found["run-summary"].data) == summary
    assert found["run-progress"].data == 100
    assert isinstance(found["run-items"].data, str)
    rows = json.loads(found["run-items"].data)
    assert {row["outcome"] for row in rows} == {"applied"}
    assert sorted(row["dataset_id"] for row in rows) == sorted(datasets(45))
    assert f"`{run_id}`" in str(found["run-report"].data)


def check_secrecy(deployed: Deployed, run: FlowRun) -> None:
    logs = eventually(
        lambda: [log.message for log in logs_of(deployed.client, run.id)], what="logs"
    )
    assert any("polly-api" in line for line in logs)
    shown = [run.model_dump_json(), *logs, deployed.worker_log.read_text()]
    shown += [found.model_dump_json() for found in artifacts_of(deployed.client, run.id).values()]
    shown += [task.model_dump_json() for task in task_runs_of(deployed.client, run.id)]
    for text in shown:
        assert deployed.atlas.api_key not in text


def test_a_cancelled_run_is_recorded_and_can_be_taken_up(deployed: Deployed) -> None:
    """What is in flight ends and is recorded; another flow run of the same run id does the rest."""
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, datasets(200))
    first = deployed.start(update_of(atlas_id, concurrency=1, shard_size=50))
    deployed.wait_until_processed(first, 20)
    deployed.client.set_flow_run_state(first, Cancelling())
    cancelled = ended(deployed.client, first)
    assert cancelled.state is not None
    assert cancelled.state_name == "Cancelled"
    assert f"polly-bulk resume {first}" in str(cancelled.state.message)
    summary = RunSummary.model_validate(artifacts_of(deployed.client, first)["run-summary"].data)
    assert summary.state is RunState.STOPPED
    assert 20 <= summary.counts.ended_well < 200
    assert summary.counts.not_well == 0

    second = deployed.start({"update": {"run": {"run_id": str(first), "concurrency": 16}}})
    run = ended(deployed.client, second)
    assert run.state is not None
    assert run.state.message == f"ingestion_run_id={first} ok=200/200 failed=0"
    assert run.name == f"update-{first}"
    assert {f"ingestion_run_id:{first}", f"atlas:{atlas_id}"} <= set(run.tags)
    whole = RunSummary.model_validate(run.state.result())
    assert set(whole.flow_run_ids) == {str(first), str(second)}
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}


def test_flow_run_retry_takes_up_a_run_that_was_killed(deployed: Deployed) -> None:
    """kill -9 half-way, then Prefect's own retry: the same flow run ends, nothing is done twice."""
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, datasets(200))
    run_id = deployed.start(update_of(atlas_id, concurrency=1, shard_size=50))
    deployed.wait_until_processed(run_id, 60)
    deployed.kill(run_id)
    assert ended(deployed.client, run_id).state_name == "Crashed"
    # The worker reports the crash a second time, half a minute later; a retry that is already under
    # way would be marked as crashed, and lose its slot of the deployment's limit.
    second = "prefect.flow_runs.worker - Check whether the flow run exceeded"
    eventually(lambda: second in deployed.worker_log.read_text(), seconds=120, what="the report")
    assert deployed.processed(run_id) < 200

    deployed.server.prefect("flow-run", "retry", str(run_id))
    run = eventually(
        lambda: (
            found
            if (found := deployed.client.read_flow_run(run_id)).state_name == "Completed"
            else None
        ),
        seconds=200,
        what="the end of the retried run",
    )
    assert run.run_count == 2
    assert run.state is not None
    assert run.state.message == f"ingestion_run_id={run_id} ok=200/200 failed=0"
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}
