"""What must stand on a Prefect server for bulk runs: limit, type of credentials, dead runs."""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events import (
    AutomationCore,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    ResourceSpecification,
)
from prefect.exceptions import ObjectNotFound

from flows.limits import DEFAULT_SLOTS, POLLY_API, ensure_limit
from tasks.credentials import PollyCredentials

DEAD_RUNS = "polly-bulk: mark dead runs"
# Every flow of this project is called so; other people's flows beat slower.
OUR_FLOWS = "bulk-*"
HEARTBEAT_SECONDS = 30
# A flow run that was heard of is expected again within three beats of its heart.
BEATS = 3


def set_up(
    *, slots: int = DEFAULT_SLOTS, heartbeat_seconds: int = HEARTBEAT_SECONDS
) -> tuple[str, ...]:
    """Create what is missing; what is there stays as it is, so that it may be done again.

    Args:
        slots: requests in flight of all runs together, where the limit does not exist yet.
        heartbeat_seconds: PREFECT_FLOWS_HEARTBEAT_FREQUENCY of the processes that run flows.

    Returns:
        What stands now and since when, a line each.
    """
    with get_client(sync_client=True) as client:
        said = [_credentials(client), _limit(client, slots)]
        if client.read_automations_by_name(DEAD_RUNS):
            said.append(f"automation {DEAD_RUNS!r}: kept")
        else:
            client.create_automation(dead_runs(heartbeat_seconds))
            said.append(f"automation {DEAD_RUNS!r}: created")
    return tuple(said)


def _credentials(client: SyncPrefectClient) -> str:
    slug = PollyCredentials.get_block_type_slug()
    try:
        client.read_block_type_by_slug(slug)
        was = "kept"
    except ObjectNotFound:
        was = "created"
    # Also where it is there: its fields are those of this version.
    PollyCredentials.register_type_and_schema()
    return f"block type {slug!r}: {was}"


def _limit(client: SyncPrefectClient, slots: int) -> str:
    try:
        found = client.read_global_concurrency_limit_by_name(POLLY_API)
        was = "kept"
    except ObjectNotFound:
        found = ensure_limit(client, POLLY_API, slots)
        was = "created"
    return f"global limit {POLLY_API!r}, {found.limit} requests in flight of all runs: {was}"


def dead_runs(heartbeat_seconds: int) -> AutomationCore:
    """Marks a flow run as crashed when its process has not been heard of for a while.

    Without it, a run whose worker died with it stays RUNNING for ever.
    """
    return AutomationCore(
        name=DEAD_RUNS,
        description="A flow run whose process is no longer heard of is marked as Crashed. "
        "Take it up with 'prefect flow-run retry' or 'polly-bulk resume'.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            # Heartbeats and every change of state, whatever the state is called.
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": ["flow"], "prefect.resource.name": [OUR_FLOWS]}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=BEATS * heartbeat_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"not heard of for {BEATS * heartbeat_seconds} s; take it up with "
                "'prefect flow-run retry'",
            )
        ],
    )
