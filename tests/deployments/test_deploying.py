"""Setting a Prefect server up, again, after people have edited what stands there."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from deployments.deploying import deploy, missing_variables, read_declared
from deployments.standing import DEAD_RUNS
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.models.jsonvalue import JsonObject
from tests.support.deployed import DEPLOYMENT, NIGHTLY, POOL, forget
from tests.support.prefect import PrefectServer

pytestmark = pytest.mark.timeout(400)


class Fresh:
    """A server without anything of ours."""

    def __init__(self, server: PrefectServer, client: SyncPrefectClient) -> None:
        self.server = server
        self.client = client

    def deploy(self, variables: Mapping[str, str] | None = None, *, reset: bool = False) -> str:
        environment = self.server.environment(variables)
        return "\n".join(deploy(self.client, environment=environment, reset=reset))

    @property
    def deployment(self) -> DeploymentResponse:
        return self.client.read_deployment_by_name(DEPLOYMENT)


@pytest.fixture
def fresh(prefect_server: PrefectServer) -> Iterator[Fresh]:
    with prefect_server.in_use() as client:
        forget(client)
        yield Fresh(prefect_server, client)
        forget(client)


def test_a_fresh_server_without_the_nightly_variables(fresh: Fresh) -> None:
    """Everything stands, and nothing is scheduled that could only fail."""
    said = fresh.deploy()
    assert f"work pool {POOL!r} (process): created" in said
    assert "schedule 'nightly': left out, needs POLLY_BULK_ATLAS and POLLY_BULK_CHANGE_URI" in said
    deployment = fresh.deployment
    assert deployment.schedules == []
    assert deployment.parameters == {}
    assert deployment.enforce_parameter_schema
    assert (deployment.work_pool_name, deployment.work_queue_name) == (POOL, "bulk")
    queue = fresh.client.read_work_queue_by_name("bulk", work_pool_name=POOL)
    assert queue.concurrency_limit == 1
    assert fresh.client.read_automations_by_name(DEAD_RUNS)
    assert fresh.client.read_block_type_by_slug("polly-credentials")
    theirs = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))
    assert fresh.client.read_flow_runs(flow_run_filter=theirs) == []

    # The variables are there later: the schedule is made then.
    assert "schedule 'nightly': on" in fresh.deploy(NIGHTLY)
    (schedule,) = fresh.deployment.schedules
    assert schedule.active
    assert schedule.parameters == {
        "update": {"atlas_id": "9", "change_uri": "s3://changes/nightly.yaml"}
    }


def test_what_people_edited_stays_until_a_reset(fresh: Fresh) -> None:
    """Schedules, a pause, parameters and limits; deployed again with and without variables."""
    fresh.deploy(NIGHTLY)
    edit(fresh.client, fresh.deployment)
    queue = fresh.client.read_work_queue_by_name("bulk", work_pool_name=POOL)
    fresh.client.update_work_queue(queue.id, concurrency_limit=3)
    edited = fresh.deployment

    for variables in (NIGHTLY, None):
        said = fresh.deploy(variables)
        assert "schedule 'nightly': kept, off" in said
        assert "paused, as it was" in said
        assert "work queue 'bulk', 3 at a time: kept" in said
        stands = fresh.deployment
        assert stands.paused
        assert stands.parameters == edited.parameters
        assert shown(stands) == shown(edited)

    fresh.deploy(NIGHTLY, reset=True)
    again = fresh.deployment
    assert not again.paused
    assert again.parameters == {}
    (nightly,) = again.schedules
    assert (nightly.slug, nightly.active) == ("nightly", True)
    assert isinstance(nightly.schedule, CronSchedule)
    assert nightly.schedule.cron == "30 2 * * *"


def edit(client: SyncPrefectClient, deployment: DeploymentResponse) -> None:
    """What people do in the UI."""
    (nightly,) = deployment.schedules
    own = IntervalSchedule.model_validate({"interval": 3600})
    client.delete_deployment_schedule(deployment.id, nightly.id)
    moved = CronSchedule(cron="0 4 * * 6", timezone="Europe/Berlin")
    schedules = [
        DeploymentScheduleUpdate(
            schedule=moved, active=False, slug="nightly", parameters=nightly.parameters
        ),
        DeploymentScheduleUpdate(schedule=own, active=True),
    ]
    parameters = {"update": {"atlas_id": "11", "run": {"concurrency": 4}}}
    client.update_deployment(
        deployment.id, DeploymentUpdate(schedules=schedules, parameters=parameters, paused=True)
    )


def shown(deployment: DeploymentResponse) -> list[tuple[str, str, bool]]:
    """Each schedule, without what is new every time."""
    return sorted(
        (one.slug or "", one.schedule.model_dump_json(), one.active) for one in deployment.schedules
    )


def test_variables_are_missed_by_name() -> None:
    parameters: JsonObject = {
        "update": {"atlas_id": "{{ $ATLAS }}", "steps": [{"set": "{{$VALUE}} or"}]}
    }
    assert missing_variables(parameters, {}) == ["ATLAS", "VALUE"]
    assert missing_variables(parameters, {"ATLAS": "9", "VALUE": ""}) == ["VALUE"]


def test_a_folder_without_prefect_yaml_or_with_a_broken_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="checkout"):
        read_declared(tmp_path)
    (tmp_path / "prefect.yaml").write_text("deployments: [{name: x}]")
    with pytest.raises(InvalidInput, match="work_pool"):
        read_declared(tmp_path)


def test_what_prefect_refuses_is_told_in_its_words(fresh: Fresh, tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text(
        "deployments: [{name: x, entrypoint: 'absent.py:flow', work_pool: {name: polly-bulk}}]"
    )
    with pytest.raises(CannotProceed, match=r"absent\.py"):
        list(deploy(fresh.client, folder=tmp_path, environment=fresh.server.environment()))
