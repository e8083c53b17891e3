"""Takes shards through an execution: own, lease, read again, plan, apply."""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from polly_core.catalog.ports import Reader
from polly_core.engine.events import Stage, Work
from polly_core.engine.execution import Execution, bury_the_dead
from polly_core.engine.freeze import PAGE_SIZE
from polly_core.engine.points import Point
from polly_core.engine.shard import SETTLE_MARGIN, Engine, ShardRun
from polly_core.errors import CatalogError, RunBusy
from polly_core.ledger.rows import Claim, Holders, ItemRow, RunRow, ShardNo, ShardRow
from polly_core.models.catalog import DatasetId, DatasetRecord, RunId
from polly_core.models.run import ItemState, OnLease
from polly_core.operations.stepping import version_made

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5

_STAGES = {
    ItemState.SELECTED: Stage.PLAN,
    ItemState.PLANNED: Stage.DRAFT,
    ItemState.SENT: Stage.SETTLE,
    ItemState.UNKNOWN: Stage.SETTLE,
    ItemState.APPLIED: Stage.VERIFY,
}
_UNTOUCHED = frozenset({Stage.PLAN, Stage.DRAFT})


@dataclass(frozen=True, slots=True)
class Runner:
    """Shards of one run in one execution. Thread-safe: each call has a shard of its own."""

    run: RunRow
    engine: Engine
    execution: Execution
    listing: Reader
    """The atlas whose listing the selection was made of."""
    end: int | None = None
    """Items from this one on are of a later wave."""

    def plan(self, shard: ShardRow) -> None:
        """Plan what is not planned of a shard. Leases are not taken."""
        claim = self._claim(shard.shard)
        if claim is None or self.engine.stop.is_set():
            return
        rows = self._rows(shard.shard, {ItemState.SELECTED})
        ShardRun(self.engine, claim).plan(self._works(shard, rows))

    def apply(self, number: ShardNo) -> None:
        """Take every item of a shard to its outcome, planning those that are not planned.

        Raises:
            LedgerError: the ledger is away for too long, or another execution has taken over.
        """
        recorder = self.engine.recorder
        claim = self._claim(number)
        if claim is not None and self._execute(claim):
            recorder.call(lambda: recorder.ledger.finish_shard(claim))

    def _claim(self, number: ShardNo) -> Claim | None:
        """Own the shard, waiting while another living execution does; None when stopping."""
        recorder, told = self.engine.recorder, False
        while not self.engine.stop.is_set():
            try:
                return recorder.call(
                    lambda: recorder.ledger.claim_shard(
                        self.run.run_id, number, self.execution.execution_id
                    )
                )
            except RunBusy as error:
                if not told:
                    log.info("shard %s: %s; waiting", number, error)
                told = True
                recorder.call(self.execution.bury_the_dead)
                self.engine.stop.wait(POLL_SECONDS)
        return None

    def _execute(self, claim: Claim) -> bool:
        """Whether every item of the shard came to an end."""
        recorder = self.engine.recorder
        shards = recorder.call(lambda: recorder.ledger.shards(self.run.run_id))
        shard = next(row for row in shards if row.shard == claim.shard)
        rows = [row for row in self._rows(claim.shard, set(ItemState)) if self._has_work(row)]
        run = ShardRun(self.engine, claim)
        leased = self._leased(claim, run, rows)
        self.engine.jobs.hook(Point.OWNED)
        works = self._works(shard, leased)
        new = [work for work in works if work.stage is Stage.PLAN]
        others = [work for work in works if work.stage is not Stage.PLAN]
        drafted = run.plan(new) if new else []
        return not self.engine.stop.is_set() and run.apply([*others, *drafted])

    def _rows(self, number: ShardNo, states: set[ItemState]) -> list[ItemRow]:
        recorder = self.engine.recorder
        rows = recorder.call(
            lambda: list(recorder.ledger.items(self.run.run_id, shard=number, states=states))
        )
        return [row for row in rows if self.end is None or row.seq < self.end]

    def _has_work(self, row: ItemRow) -> bool:
        if row.state is ItemState.APPLIED:
            return self.engine.verifies and row.verified_at is None
        return row.state in _STAGES

    def _works(self, shard: ShardRow, rows: list[ItemRow]) -> list[Work]:
        reads = any(_STAGES[row.state] in _UNTOUCHED for row in rows)
        records = self._records(shard) if reads else {}
        now = datetime.now(UTC)
        works = []
        for row in rows:
            work = Work(row=row, stage=_STAGES[row.state], record=records.get(row.dataset_id))
            work.lost = work.stage is Stage.SETTLE
            work.done = row.done
            work.version = row.version_after or version_made(row.done)
            if row.sent_at is not None:
                work.sent_at = time.monotonic() - (now - row.sent_at).total_seconds()
            works.append(work)
        return works

    def _records(self, shard: ShardRow) -> dict[DatasetId, DatasetRecord]:
        """The shard's listing pages, read again; empty when they cannot be."""
        found: dict[DatasetId, DatasetRecord] = {}
        for link in shard.pages:
            try:
                page = self.listing.page(link, size=PAGE_SIZE)
            except CatalogError as error:
                log.warning("shard %s: page not read again (%s)", shard.shard, error)
                return {}
            found.update((record.dataset_id, record) for record in page.records)
        return found

    def _leased(self, claim: Claim, run: ShardRun, rows: list[ItemRow]) -> list[ItemRow]:
        """The rows whose datasets this run holds now."""
        recorder = self.engine.recorder
        wanted = [row.dataset_id for row in rows]
        while not self.engine.stop.is_set():
            holders = recorder.call(lambda: recorder.ledger.lease(claim, wanted))
            held = holders.by_dataset
            if self._freed(set(held.values())):
                continue
            if not held or self.run.options.on_lease is OnLease.REFUSE:
                self._outwait(holders)
                return self._without_held(run, rows, holders)
            # Holding some while waiting for others would let two runs wait for each other.
            granted = [dataset_id for dataset_id in wanted if dataset_id not in held]
            recorder.call(lambda granted=granted: recorder.ledger.release(claim, granted))  # type: ignore[misc]
            self.engine.stop.wait(POLL_SECONDS)
        return []

    def _freed(self, runs: set[RunId]) -> bool:
        """Whether a run that holds something died on this host: its leases need not expire."""
        recorder = self.engine.recorder
        freed = [recorder.call(lambda run=run: bury_the_dead(recorder.ledger, run)) for run in runs]  # type: ignore[misc]
        return any(freed)

    def _without_held(self, run: ShardRun, rows: list[ItemRow], holders: Holders) -> list[ItemRow]:
        """Refuse by name what another run holds. What may have been sent before stays open."""
        held = holders.by_dataset
        run.refuse(
            {
                Work(row=row, stage=_STAGES[row.state]): f"held by run {held[row.dataset_id]}; "
                "nothing was written. Retry when it has ended, or use --on-lease wait"
                for row in rows
                if row.dataset_id in held and _STAGES[row.state] in _UNTOUCHED
            }
        )
        return [row for row in rows if row.dataset_id not in held]

    def _outwait(self, holders: Holders) -> None:
        """Let a dead run's last writes arrive before these datasets are read.

        A server that enforces versions refuses whichever of two writes comes second.
        """
        if self.engine.jobs.reader.capabilities.expects_version:
            return
        sent = [one.sent_at for one in holders.unsettled.values() if one.sent_at is not None]
        if sent:
            passed = (datetime.now(UTC) - max(sent)).total_seconds()
            self.engine.stop.wait(max(0.0, self.engine.read_timeout + SETTLE_MARGIN - passed))
