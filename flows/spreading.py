"""Spreads a run over several workers: flow runs of their own each take a block of its shards.

Whether a block is through is what the ledger says; Prefect says only whether somebody is at it.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import SettingsContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from flows.blocks import Block
from flows.children import (
    DEPLOYMENT,
    cancel_waiting,
    children_of,
    end_of,
    start,
    was_cancelled,
    why_late,
)
from flows.limits import Slots
from flows.telling import impatient
from polly_core.engine.blocks import BlockRange
from polly_core.engine.meter import Progress
from polly_core.engine.session import Session
from polly_core.engine.waves import WaveRange
from polly_core.errors import CannotProceed
from polly_core.models.run import StopReason

ATTEMPTS = 3
POLL_SECONDS = 3.0
TICK_SECONDS = 0.5
# Blocks of which none has begun for so long are worth a word.
LATE_SECONDS = 20.0
DEAF_LOOKS = 3
# What is in flight gets 20 s when a run stops; Prefect kills a cancelled flow run after 30.
CALL_OFF_SECONDS = 22.0
# Of a child: its process was stopped, which says nothing of the run.
_OWN_STOPS = frozenset({StopReason.CANCELLED, StopReason.INTERRUPTED})
# Prefect's answers that another try would not change.
_REFUSALS = frozenset({400, 401, 403, 404, 409, 422})

log = logging.getLogger(__name__)


@dataclass
class Child:
    """A block, and the flow run that is at it."""

    block: BlockRange
    number: int = 1
    """In its idempotency key: for an old key Prefect gives the old flow run, however it ended."""
    attempts: int = 0
    flow_run: FlowRun | None = None
    adopted: bool = False
    """An earlier execution of the run has started it."""

    def renew(self) -> None:
        """Another flow run is to take the block."""
        self.number += 1
        self.flow_run, self.adopted = None, False


class Spreading:
    """Starts the flow runs of a run's blocks, and waits for them in the flow's main thread.

    Args:
        items: datasets per block.
        credentials: name of the block of credentials that the children use.
        show: told how the run goes.
    """

    def __init__(
        self,
        session: Session,
        slots: Slots,
        *,
        items: int,
        credentials: str,
        show: Callable[[Progress], None],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._session = session
        self._slots = slots
        self._items = items
        self._credentials = credentials
        self._show = show
        self._poll_seconds = poll_seconds
        self._begun = False
        self._deaf = 0
        self._late_since: float | None = None

    @cached_property
    def _impatient(self) -> SettingsContext:
        # Most runs are not spread: they need none.
        return impatient()

    def see_to(self, wave: WaveRange) -> None:
        """Have every block of a wave executed; returns when all are through or the run stops.

        A Prefect server that is away is waited for; flow runs under way go on meanwhile.

        Raises:
            CannotProceed: Prefect refuses the flow run of a block.
        """
        session = self._session
        if not session.open_shards(wave):
            return
        session.blocks.give_up()
        blocks = session.blocks.of(wave, self._items)
        left = [Child(block) for block in blocks if session.blocks.is_open(block)]
        log.info("%d of %d blocks are left, each for a flow run of its own", len(left), len(blocks))
        self._begun = True
        with self._slots.let_go(for_good=lambda: session.stopping is not None):
            while left and session.stopping is None:
                left = self._looked(left)
                self._rest(left, len(blocks))

    def call_off(self) -> None:
        """Where the run stops: end the children, and wait until what they do is recorded."""
        if not self._begun or self._session.stopping is None:
            return
        blocks = self._session.blocks
        blocks.call_off()
        self._cancel_waiting()
        until = time.monotonic() + CALL_OFF_SECONDS
        while blocks.others() and time.monotonic() < until:
            self._show(self._session.progress())
            time.sleep(TICK_SECONDS)

    def close(self) -> None:
        """Once the run's state says that it stopped: who takes it up is not to stop as well."""
        if self._begun and self._session.stopping is not None:
            self._session.blocks.forget_control()

    def _looked(self, children: Sequence[Child]) -> list[Child]:
        """Those that are not through, each with a flow run that is at it where one can be."""
        try:
            with self._impatient, get_client(sync_client=True) as client:
                left = self._look(client, children)
        except (httpx.HTTPError, ObjectNotFound) as error:
            if _is_refusal(error):
                raise CannotProceed(
                    f"Prefect refuses a flow run of {DEPLOYMENT} ({error}); set the deployment up "
                    "again with: polly-bulk deploy"
                ) from error
            self._deaf += 1
            # A busy server refuses once in a while.
            if self._deaf == DEAF_LOOKS:
                log.warning("Prefect does not say how the blocks stand, asking again: %s", error)
            return list(children)
        self._deaf = 0
        return left

    def _look(self, client: SyncPrefectClient, children: Sequence[Child]) -> list[Child]:
        known = children_of(client, self._session.run_id)
        by_key = {run.idempotency_key: run for run in known}
        for child in children:
            if child.flow_run is None:
                self._start(child, by_key)
            else:
                child.flow_run = by_key.get(self._key(child))
        left = [child for child in children if not self._is_through(client, child)]
        self._tell_late(client, left)
        return left

    def _start(self, child: Child, by_key: Mapping[str | None, FlowRun]) -> None:
        """Start its flow run, or take one that is at it already."""
        while (old := by_key.get(self._key(child))) is not None:
            if not _has_ended(old):
                child.flow_run, child.adopted = old, True
                return
            child.number += 1
        block = Block(
            run_id=self._session.run_id,
            first=child.block.first,
            last=child.block.last,
            wave=child.block.wave.number,
            credentials=self._credentials,
        )
        child.flow_run = start(block, self._key(child))
        child.attempts += 1

    def _key(self, child: Child) -> str:
        block = child.block
        return f"{self._session.run_id}-{block.wave.number}-{block.shown}-{child.number}"

    def _is_through(self, client: SyncPrefectClient, child: Child) -> bool:
        """Whether its block is done. Where it is not and nobody is at it any more, another flow
        run will be, or the run stops."""
        run = child.flow_run
        if run is not None and not _has_ended(run):
            return False
        if not self._session.blocks.is_open(child.block):
            return True
        stop = None if run is None else self._stop_of(client, child, run)
        if stop is not None:
            self._session.stop(*stop)
        else:
            how = "gone from Prefect" if run is None else _how(run)
            log.warning("%s: its flow run is %s; another one takes what is left", child.block, how)
            child.renew()
        return False

    def _stop_of(
        self, client: SyncPrefectClient, child: Child, run: FlowRun
    ) -> tuple[StopReason, str] | None:
        """Why the run is to stop with this flow run of it, or None."""
        end = end_of(client, run)
        if end is not None and end.stop is not None and end.stop not in _OWN_STOPS:
            return end.stop, f"{child.block}: {end.message}"
        if not child.adopted and was_cancelled(client, run):
            return StopReason.CANCELLED, f"flow run {run.name} was cancelled in Prefect"
        if child.attempts >= ATTEMPTS:
            return StopReason.CANNOT_PROCEED, (
                f"{child.block} did not come to an end in {child.attempts} flow runs; the last, "
                f"{run.name}, is {_how(run)}"
            )
        return None

    def _tell_late(self, client: SyncPrefectClient, children: Sequence[Child]) -> None:
        runs = [child.flow_run for child in children if child.flow_run is not None]
        now = time.monotonic()
        if not runs or any(run.state_type is not StateType.SCHEDULED for run in runs):
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        elif now - self._late_since > LATE_SECONDS:
            self._late_since = now
            log.warning("none of %d blocks has begun: %s", len(runs), why_late(client, runs[0]))

    def _rest(self, children: Sequence[Child], of: int) -> None:
        """Show how it goes until it is time to look again."""
        runs = [child.flow_run for child in children if child.flow_run is not None]
        under_way = sum(run.state_type is StateType.RUNNING for run in runs)
        paces = [one.pace for one in self._session.blocks.others() if one.pace is not None]
        told = {
            "note": f"{of - len(children)} of {of} blocks done, {under_way} under way",
            "concurrency": sum(pace.concurrency for pace in paces),
        }
        until = time.monotonic() + self._poll_seconds
        while children and self._session.stopping is None and time.monotonic() < until:
            self._show(self._session.progress().model_copy(update=told))
            time.sleep(TICK_SECONDS)

    def _cancel_waiting(self) -> None:
        try:
            with self._impatient, get_client(sync_client=True) as client:
                cancel_waiting(client, self._session.run_id)
        except httpx.HTTPError as error:
            log.warning("Prefect could not be told to cancel the blocks that wait: %s", error)


def _has_ended(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _how(run: FlowRun) -> str:
    said = run.state.message if run.state is not None else ""
    return f"{run.state_name}" + (f": {said}" if said else "")


def _is_refusal(error: Exception) -> bool:
    if isinstance(error, PrefectHTTPStatusError):
        return error.response.status_code in _REFUSALS
    return isinstance(error, ObjectNotFound)
