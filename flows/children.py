"""What Prefect knows of the flow runs that take the blocks of one run."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling
from pydantic import ValidationError

from flows.artifacts import stored
from flows.blocks import ARTIFACT, Block, BlockEnd
from polly_core.errors import CannotProceed
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId

FLOW = "bulk-block"
DEPLOYMENT = f"{FLOW}/block"
# A worker asks its queues every few seconds.
DEAF_SECONDS = 60.0
_PAGE = 200
_WAITING = frozenset({StateType.SCHEDULED, StateType.PENDING})


def check_spread(ledger_url: str) -> None:
    """Refuse what could not work, before anything of the run is begun.

    Raises:
        CannotProceed: the ledger cannot be shared, or there is no deployment for the blocks.
    """
    with open_ledger(ledger_url) as ledger:
        if not ledger.reaches_other_hosts:
            raise CannotProceed(
                f"run.spread needs a ledger that workers on several machines share, found "
                f"{ledger.name}; set POLLY_LEDGER_URL of every worker to one PostgreSQL database, "
                "or leave run.spread at 0"
            )
    try:
        with get_client(sync_client=True) as client:
            client.read_deployment_by_name(DEPLOYMENT)
    except ObjectNotFound:
        raise CannotProceed(
            f"run.spread needs the deployment {DEPLOYMENT!r}, and this Prefect server has none; "
            "set it up with: polly-bulk deploy"
        ) from None
    except httpx.HTTPError as error:
        raise CannotProceed(f"the Prefect server is out of reach: {error}") from error


def tag_of(run_id: RunId) -> str:
    """What every flow run of a run is tagged with."""
    return f"ingestion_run_id:{run_id}"


def start(block: Block, key: str) -> FlowRun:
    """Ask for a flow run of a block; the one that was asked for by this key before, if any."""
    found = run_deployment(
        DEPLOYMENT,
        parameters={"block": block.model_dump(mode="json")},
        timeout=0,
        as_subflow=True,
        idempotency_key=key,
        tags=[tag_of(RunId(block.run_id))],
    )
    # Its type leaves open whether it is to be awaited, which is so within a running loop alone.
    assert isinstance(found, FlowRun)
    return found


def children_of(client: SyncPrefectClient, run_id: RunId) -> list[FlowRun]:
    """The flow runs of all its blocks, in whatever state."""
    return list(_children(client, run_id))


def _children(client: SyncPrefectClient, run_id: RunId) -> Iterator[FlowRun]:
    offset = 0
    while True:
        page = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag_of(run_id)])),
            sort=FlowRunSort.ID_DESC,
            limit=_PAGE,
            offset=offset,
        )
        yield from page
        offset += len(page)
        if len(page) < _PAGE:
            return


def cancel_waiting(client: SyncPrefectClient, run_id: RunId) -> None:
    """Cancel those that have not begun: nothing but Prefect can reach them."""
    for run in _children(client, run_id):
        if run.state_type in _WAITING:
            client.set_flow_run_state(run.id, Cancelling())


def end_of(client: SyncPrefectClient, run: FlowRun) -> BlockEnd | None:
    """What an ended flow run said of its block; None where it could not."""
    for artifact in stored(client, run.id, ARTIFACT)[:1]:
        try:
            return BlockEnd.model_validate(artifact.data)
        except ValidationError:
            return None
    return None


def was_cancelled(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether somebody cancelled it in Prefect; a worker that is stopped takes its runs along
    without."""
    states = {state.type for state in client.read_flow_run_states(run.id)}
    began = StateType.RUNNING in states
    return StateType.CANCELLING in states or (StateType.CANCELLED in states and not began)


def why_late(client: SyncPrefectClient, run: FlowRun) -> str:
    """Why nobody has taken a flow run that waits, and what to do about it."""
    if run.work_queue_id is None:
        return f"{DEPLOYMENT} has no work queue; set it up with: polly-bulk deploy"
    queue = client.read_work_queue(run.work_queue_id)
    where = f"work queue {queue.name!r} of work pool {run.work_pool_name!r}"
    if queue.is_paused:
        return (
            f"{where} is paused; let it go on with: "
            f"prefect work-queue resume {queue.name} --pool {run.work_pool_name}"
        )
    polled = queue.last_polled
    if polled is None or (datetime.now(UTC) - polled).total_seconds() > DEAF_SECONDS:
        return (
            f"no worker asks {where} for work; start one, on as many machines as you like, with: "
            f"prefect worker start --pool {run.work_pool_name}"
        )
    return (
        f"the workers of {where} are at their limits (the flow run that waits for the blocks "
        "takes a place, too), or those of the queue or the pool are reached; start another worker"
    )
