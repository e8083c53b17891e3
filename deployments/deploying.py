"""Puts what prefect.yaml declares on a Prefect server by Prefect's own means, without harm."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleUpdate,
    DeploymentUpdate,
    WorkPoolCreate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import Field, ValidationError

from deployments.standing import set_up
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue, Model

FILE = "prefect.yaml"
ROOT = Path(__file__).resolve().parents[1]
POOL_TYPE = "process"
# Places of a new queue: bulk runs wait for each other instead of meeting on one atlas. A queue that
# is not named takes any number: the blocks of a run go together.
PLACES = {"bulk": 1}
DEPLOY_SECONDS = 600
_VARIABLE = re.compile(r"{{\s*\$(\w+)\s*}}")


class _File(Model, extra="ignore"):
    """A part of prefect.yaml; what is not named here is Prefect's alone."""


class _Pool(_File):
    name: str
    work_queue_name: str | None = None


class _Schedule(_File):
    slug: str
    parameters: JsonObject = Field(default_factory=dict)


class _Deployment(_File):
    name: str
    work_pool: _Pool
    schedules: tuple[_Schedule, ...] = ()


class Declared(_File):
    """What prefect.yaml declares, as far as it matters here."""

    deployments: tuple[_Deployment, ...]


def read_declared(folder: Path) -> Declared:
    """Read prefect.yaml of a checkout.

    Raises:
        InvalidInput: it is not there or cannot be used.
    """
    path = folder / FILE
    try:
        return Declared.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InvalidInput(
            f"there is no {path}: deploy from a checkout of the project, which the workers "
            "can read as well"
        ) from None
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidInput(f"{path} cannot be used: {error}") from None


def deploy(
    client: SyncPrefectClient,
    *,
    folder: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
    reset: bool = False,
) -> Iterator[str]:
    """Set everything up, and say what was done, a line each, as it is done.

    Schedules, parameters and pauses of deployments that stand already stay as they are, unless
    ``reset`` asks for those of prefect.yaml. A new schedule is switched on where every variable
    that it needs is set, and left out where one is not.

    Raises:
        InvalidInput: prefect.yaml cannot be used.
        CannotProceed: Prefect refused it.
    """
    declared = read_declared(folder)
    yield from set_up()
    yield from _pools(client, declared)
    before = {} if reset else _standing(client, declared)
    _prefect_deploy(client, folder, environment)
    after = _standing(client, declared)
    for one in declared.deployments:
        if one.name not in after:
            raise CannotProceed(f"Prefect did not make deployment {one.name!r}; see its output")
        yield from _settle(client, one, before.get(one.name), after[one.name], environment)


def missing_variables(parameters: JsonValue, environment: Mapping[str, str]) -> list[str]:
    """Variables that a schedule's parameters name and the environment does not have."""
    names = dict.fromkeys(_VARIABLE.findall(yaml.safe_dump(parameters, width=10_000)))
    return [name for name in names if not environment.get(name)]


def _pools(client: SyncPrefectClient, declared: Declared) -> Iterator[str]:
    pools = {(one.work_pool.name, one.work_pool.work_queue_name) for one in declared.deployments}
    for name in sorted({pool for pool, _ in pools}):
        try:
            client.read_work_pool(name)
            yield f"work pool {name!r}: kept"
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type=POOL_TYPE))
            yield f"work pool {name!r} ({POOL_TYPE}): created"
    for pool, queue in sorted((pool, queue) for pool, queue in pools if queue):
        try:
            found = client.read_work_queue_by_name(queue, work_pool_name=pool)
            was = "kept"
        except ObjectNotFound:
            found = client.create_work_queue(
                queue, work_pool_name=pool, concurrency_limit=PLACES.get(queue)
            )
            was = "created"
        yield f"work queue {queue!r}, {found.concurrency_limit or 'any number of'} at a time: {was}"


def _standing(client: SyncPrefectClient, declared: Declared) -> dict[str, DeploymentResponse]:
    """Our deployments on the server, by name: those in our pools."""
    ours = {(one.name, one.work_pool.name) for one in declared.deployments}
    found = client.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=["polly-bulk"]))
    )
    return {one.name: one for one in found if (one.name, one.work_pool_name) in ours}


def _prefect_deploy(
    client: SyncPrefectClient, folder: Path, environment: Mapping[str, str]
) -> None:
    """Prefect's own command is the one stable way to deploy a prefect.yaml."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=folder,
        env={**environment, "PREFECT_API_URL": str(client.api_url), "PWD": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEPLOY_SECONDS,
    )
    if done.returncode:
        raise CannotProceed(
            f"'prefect deploy --all' in {folder} ended with {done.returncode}:\n"
            f"{(done.stdout + done.stderr).strip()[-3000:]}"
        )


def _settle(
    client: SyncPrefectClient,
    declared: _Deployment,
    before: DeploymentResponse | None,
    after: DeploymentResponse,
    environment: Mapping[str, str],
) -> Iterator[str]:
    """Deploying has replaced all schedules by those of prefect.yaml, switched off."""
    yield f"deployment {declared.name!r}: {'updated' if before else 'set up'}"
    kept = list(before.schedules) if before else []
    slugs = {schedule.slug for schedule in kept}
    wanted = [_as_it_was(schedule) for schedule in kept]
    for schedule in kept:
        yield f"  schedule {_name(schedule)!r}: kept, {'on' if schedule.active else 'off'}"
    made = {schedule.slug: schedule for schedule in after.schedules}
    for one in declared.schedules:
        if one.slug in slugs:
            continue
        missing = missing_variables(one.parameters, environment)
        if missing:
            yield f"  schedule {one.slug!r}: left out, needs {' and '.join(missing)}"
        else:
            wanted.append(_as_it_was(made[one.slug], active=True))
            yield f"  schedule {one.slug!r}: on"
    for schedule in after.schedules:
        client.delete_deployment_schedule(after.id, schedule.id)
    client.update_deployment(after.id, DeploymentUpdate(schedules=wanted))
    yield from _keep_edits(client, before, after)


def _keep_edits(
    client: SyncPrefectClient, before: DeploymentResponse | None, after: DeploymentResponse
) -> Iterator[str]:
    if before is None:
        return
    if before.paused != after.paused:
        client.update_deployment(after.id, DeploymentUpdate(paused=before.paused))
    if before.paused:
        yield "  paused, as it was"
    if before.parameters != after.parameters:
        try:
            client.update_deployment(after.id, DeploymentUpdate(parameters=before.parameters))
            yield "  its own parameters: kept as they stood"
        except PrefectHTTPStatusError as error:
            yield f"  its own parameters no longer fit and are lost: {error.response.text}"


def _as_it_was(
    schedule: DeploymentSchedule, *, active: bool | None = None
) -> DeploymentScheduleUpdate:
    values: dict[str, Any] = {
        "schedule": schedule.schedule,
        "active": schedule.active if active is None else active,
        "parameters": schedule.parameters,
    }
    for key in ("slug", "max_scheduled_runs"):
        if getattr(schedule, key) is not None:
            values[key] = getattr(schedule, key)
    return DeploymentScheduleUpdate(**values)


def _name(schedule: DeploymentSchedule) -> str:
    return schedule.slug or str(getattr(schedule.schedule, "cron", schedule.id))
