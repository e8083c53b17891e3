"""Follows a flow run of a deployment to its end, from any machine that reaches Prefect's API."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling
from pydantic import ValidationError

from flows.artifacts import PROGRESS, SUMMARY, stored
from flows.states import REFUSED
from polly_core.errors import CannotProceed
from polly_core.models.run import RunSummary

POLL_SECONDS = 2.0
PROGRESS_SECONDS = 15.0
# A run that should have begun so long ago is worth a word.
LATE_SECONDS = 20.0
DEAF_SECONDS = 300.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: for the end, and for the beginning. None waits for ever."""

    end: float | None = None
    start: float | None = 600.0


class Follower:
    """Follows one flow run, saying what is new about it."""

    def __init__(
        self,
        client: SyncPrefectClient,
        flow_run_id: UUID,
        *,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._id = flow_run_id
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._state = ""
        self._said = ""
        self._said_at = clock()
        self._heard_at = clock()

    def to_the_end(self, patience: Patience) -> FlowRun:
        """The flow run once it is in a final state.

        A Prefect server that is away for a while is waited for.

        Raises:
            CannotProceed: it did not begin or end in time, or the server is out of reach.
        """
        begun_at = self._clock()
        waiting_since: float | None = begun_at
        while True:
            run = self._read()
            if run is not None:
                if run.state is not None and run.state.is_final():
                    return run
                self._tell(run)
                waiting_since = (waiting_since or self._clock()) if self._waits(run) else None
                self._check_start(run, waiting_since, patience)
            if patience.end is not None and self._clock() - begun_at > patience.end:
                raise CannotProceed(
                    f"flow run {self._id} did not end within {patience.end:g} s "
                    f"({self._state or 'unknown state'}). {self.goes_on()}"
                )
            self._sleep(POLL_SECONDS)

    def cancel(self) -> None:
        """Ask for the run to stop: no new write, what is in flight is recorded."""
        self._client.set_flow_run_state(self._id, Cancelling())

    def goes_on(self) -> str:
        """What to say to somebody who stops watching."""
        return f"The run goes on; stop it with: prefect flow-run cancel {self._id}"

    def _read(self) -> FlowRun | None:
        try:
            run = self._client.read_flow_run(self._id)
        except httpx.HTTPError as error:
            deaf = self._clock() - self._heard_at
            if deaf > DEAF_SECONDS:
                raise CannotProceed(
                    f"the Prefect server has not answered for {deaf:.0f} s: {error}. "
                    f"{self.goes_on()}"
                ) from error
            self._once(f"the Prefect server does not answer, asking again: {error}")
            return None
        self._heard_at = self._clock()
        return run

    def _tell(self, run: FlowRun) -> None:
        name = run.state_name or "unknown"
        if name != self._state:
            self._state = name
            self._once(_state_text(run))
        elif self._clock() - self._said_at >= PROGRESS_SECONDS and name == "Running":
            self._once(self._progress())

    def _progress(self) -> str:
        try:
            found = stored(self._client, self._id, PROGRESS)
        except httpx.HTTPError:
            return self._said
        return found[0].description or "" if found else ""

    def _once(self, text: str) -> None:
        if text and text != self._said:
            self._say(text)
            self._said = text
            self._said_at = self._clock()

    def _check_start(self, run: FlowRun, since: float | None, patience: Patience) -> None:
        waited = 0.0 if since is None else self._clock() - since
        if waited > LATE_SECONDS:
            self._once(f"not started yet: {self._why_late(run)}")
        if patience.start is not None and waited > patience.start:
            raise CannotProceed(
                f"flow run {self._id} did not start within {patience.start:g} s: "
                f"{self._why_late(run)}. It starts when it can; "
                f"take it back with: prefect flow-run cancel {self._id}"
            )

    def _waits(self, run: FlowRun) -> bool:
        """Whether nobody has taken a run although it would be its turn."""
        return run.state_name in {"Scheduled", "Late"} and not self._before_it(run)

    def _before_it(self, run: FlowRun) -> list[str]:
        """Names of the runs that hold all places of its queue."""
        if run.work_queue_id is None:
            return []
        try:
            queue = self._client.read_work_queue_concurrency_status(run.work_queue_id)
        except httpx.HTTPError:
            return []
        if queue.concurrency_limit is None or queue.active_slots < queue.concurrency_limit:
            return []
        names = [other.name or str(other.id) for other in queue.flow_runs]
        self._once(f"waits in queue {run.work_queue_name!r} for {', '.join(names) or 'a place'}")
        return names

    def _why_late(self, run: FlowRun) -> str:
        pool = run.work_pool_name
        if pool is None:
            return "its deployment has no work pool; set it up with: polly-bulk deploy"
        online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
        try:
            workers = self._client.read_workers_for_work_pool(pool, worker_filter=online)
        except httpx.HTTPError:
            return f"it waits for a worker of work pool {pool!r}"
        if not workers:
            return (
                f"no worker of work pool {pool!r} is online; start one with: "
                f"prefect worker start --pool {pool}"
            )
        return (
            f"{len(workers)} worker(s) of work pool {pool!r} are online and have not taken it; "
            f"they are at their limit, or the pool or its queue {run.work_queue_name!r} is paused"
        )


def _state_text(run: FlowRun) -> str:
    name = run.state_name or "unknown"
    if run.state_type is StateType.PAUSED:
        return f"{name}: waits for an approval, in Prefect ('Resume') or by: polly-bulk approve"
    return name.lower()


@dataclass(frozen=True, slots=True)
class Ending:
    """What a flow run came to."""

    flow_run: FlowRun
    summary: RunSummary | None
    """What the flow says of its run; None where it could not."""

    @property
    def message(self) -> str:
        return (self.flow_run.state.message if self.flow_run.state else "") or ""

    @property
    def exit_code(self) -> int:
        """The code of the command line that says the same."""
        kind = self.flow_run.state_type
        if kind is StateType.CRASHED:
            return 3
        if self.summary is not None:
            return self.summary.exit_code or (3 if kind is StateType.FAILED else 0)
        if kind is StateType.FAILED:
            return 2 if self.message.startswith(REFUSED) else 3
        return 130 if kind is StateType.CANCELLED else 0


def ending_of(client: SyncPrefectClient, flow_run: FlowRun) -> Ending:
    """How a flow run ended, read from Prefect's database alone."""
    found = stored(client, flow_run.id, SUMMARY)
    summary: RunSummary | None = None
    if found:
        try:
            summary = RunSummary.model_validate(found[0].data)
        except ValidationError:
            summary = None
    ending = Ending(flow_run, summary)
    # A flow run that was retried and failed early has only the summary of its first attempt.
    if summary is not None and f"ingestion_run_id={summary.run_id} " not in ending.message:
        return Ending(flow_run, None)
    return ending
