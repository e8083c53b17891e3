"""One run in one process: what flows and commands call."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from polly_core.engine.events import Stage, Work
from polly_core.engine.freeze import Freezer
from polly_core.engine.heartbeat import Heartbeat
from polly_core.engine.item import Jobs
from polly_core.engine.limiter import Limiter
from polly_core.engine.meter import Meter, Progress
from polly_core.engine.opening import (
    Connector,
    Opened,
    connection_for,
    known_run,
    open_run,
    over_http,
)
from polly_core.engine.outage import Outage
from polly_core.engine.planned import RunPlan, adopt_items, adopt_plans, plan_of
from polly_core.engine.points import Hook, Point, pass_by
from polly_core.engine.pool import Gate, Pool
from polly_core.engine.process import is_gone, this_process
from polly_core.engine.recorder import Recorder
from polly_core.engine.report import notable_items, summarise, write_report
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.shard import Engine, ShardRun
from polly_core.engine.stop import StopSignal
from polly_core.engine.verifying import Verification, verify_items
from polly_core.errors import CatalogError, LedgerError, RunBusy, Throttled
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Claim, ItemRow, RunRow, ShardNo, ShardRow
from polly_core.models.catalog import CatalogRef, DatasetId, DatasetRecord, RunId
from polly_core.models.run import (
    Counts,
    ExecutionId,
    ItemState,
    OnLease,
    OperationName,
    RunOptions,
    RunState,
    RunSummary,
    StopReason,
    Verify,
)
from polly_core.operations.base import Verified
from polly_core.planning.selection import Where
from polly_core.transport.retry import OnRetry, Retrier

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# Beyond the request's time-outs: clocks, scheduling, a renewal that is just under way.
LEASE_MARGIN = 30.0


class Session:
    """Executes one run. ``run_shard`` and ``stop`` may be called from any thread."""

    def __init__(
        self,
        opened: Opened,
        surroundings: Surroundings,
        ledger: Ledger,
        *,
        limiter: Limiter,
        hook: Hook,
    ) -> None:
        self.run: RunRow = opened.run
        self.resumed = opened.known
        self._opened = opened
        self._surroundings = surroundings
        self._ledger = ledger
        self._hook = hook
        self._meter = Meter()
        self._stop = StopSignal()
        self._gate = Gate()
        self._outage = Outage(opened.run.options.patience)
        self._limiter = limiter
        self._pool = Pool(limiter, self._gate)
        self._recorder = Recorder(
            ledger, self.run.run_id, self.run.options, gate=self._gate, stop=self._stop
        )
        self._recorder.counts = ledger.counts(self.run.run_id)
        timeouts = surroundings.connect_timeout + surroundings.read_timeout
        self._request_seconds = timeouts
        self._lease_seconds = 2 * timeouts + 2 * LEASE_MARGIN
        self._execution_id = self._begin()
        self._heartbeat = Heartbeat(ledger, self._execution_id, self._lease_seconds, self._stop)
        self._heartbeat.start()
        self._engine = self._make_engine(opened)

    @property
    def run_id(self) -> RunId:
        return self.run.run_id

    @property
    def spec_digest(self) -> str:
        return self.run.spec_digest

    @property
    def catalog(self) -> CatalogRef:
        return self.run.spec.catalog

    @property
    def operation(self) -> OperationName:
        return self.run.spec.operation

    @property
    def options(self) -> RunOptions:
        return self.run.options

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be done."""
        return self.run.state is RunState.FINISHED

    # -- phases -----------------------------------------------------------------------------

    def freeze(self) -> int:
        """Freeze the selection, unless it is; the number of items."""
        if self.run.total is not None:
            return self.run.total
        if self._opened.plan is not None:
            adopt_items(self._ledger, self.run, self._opened.plan)
        else:
            self._select()
        self._hook(Point.FROZEN)
        self._refresh()
        return self.run.total or 0

    def _select(self) -> None:
        where = self.run.spec.selection.where
        Freezer(
            reader=self._opened.connected.reader,
            pool=self._pool,
            ledger=self._ledger,
            run=self.run,
            selection_file=self._opened.selection_file,
            where=None if where is None else Where(where),
        ).freeze()

    def _refresh(self) -> None:
        self.run = self._ledger.run(self.run_id)
        self._recorder.counts = self._ledger.counts(self.run_id)

    def plan(self) -> RunPlan | None:
        """Plan every item before the first write; what the plan comes to, or None if stopped.

        Leases are not taken: applying finds out what moved since.
        """
        if self.run.plan_digest is not None:
            return plan_of(self._ledger, self.run)
        if self._opened.plan is not None:
            adopt_plans(self._ledger, self.run, self._opened.plan, self._execution_id)
        for shard in self._ledger.shards(self.run_id, open_only=True):
            claim = self._claim(shard.shard)
            if claim is not None and not self._stop.is_set():
                rows = self._rows(shard.shard, {ItemState.SELECTED})
                ShardRun(self._engine, claim).plan(self._works(shard, rows))
        if self._stop.is_set():
            return None
        found = plan_of(self._ledger, self.run)
        self._ledger.set_plan_digest(self.run_id, found.digest)
        self._ledger.set_state(self.run_id, RunState.PLANNED)
        self._refresh()
        return found

    def open_shards(self) -> list[int]:
        """Shards with work left, in order. From here on the run counts as running."""
        if self.finished:
            return []
        self._ledger.set_state(self.run_id, RunState.RUNNING)
        return [row.shard for row in self._ledger.shards(self.run_id, open_only=True)]

    def run_shard(self, number: int) -> Counts:
        """Take every item of a shard to its outcome; the run's totals afterwards.

        A shard that another living execution works on is waited for. What stops a run stops
        here quietly; ``finish`` says why.
        """
        if self._stop.is_set():
            return self._recorder.counts
        try:
            claim = self._claim(ShardNo(number))
            if claim is not None and self._execute(claim):
                self._recorder.call(lambda: self._ledger.finish_shard(claim))
        except LedgerError as error:
            self._stop.set(StopReason.CANNOT_PROCEED, str(error))
            log.error("shard %s: %s", number, error)  # noqa: TRY400 - expected, told in words
        return self._recorder.counts

    def stop(self, reason: StopReason, message: str = "") -> None:
        """No new write from now on; what is in flight is waited for and recorded."""
        if self._stop.set(reason, message):
            self._pool.wake()

    @property
    def stopping(self) -> StopReason | None:
        """Why the run is stopping, or None."""
        return self._stop.reason

    def progress(self) -> Progress:
        """How it goes. Cheap; asks nobody."""
        counts = self._recorder.counts
        rate = self._meter.rate(counts.processed)
        left = (self.run.total or 0) - counts.processed
        return Progress(
            counts=counts,
            rate=rate,
            eta_seconds=left / rate if rate > 0 else None,
            concurrency=self._limiter.allowed,
            note=self._note(),
        )

    def finish(self) -> RunSummary:
        """Say in the ledger how the run stands, and write the report."""
        if not self.finished:
            self._recorder.call(lambda: self._ledger.end_execution(self._execution_id))
            done = not self._ledger.shards(self.run_id, open_only=True)
            state = RunState.FINISHED if done and self.run.total is not None else RunState.STOPPED
            self._ledger.set_state(
                self.run_id,
                state,
                stop=None if state is RunState.FINISHED else self._stop.reason,
                message="" if state is RunState.FINISHED else self._stop.message,
            )
            self.run = self._ledger.run(self.run_id)
        write_report(self._ledger, self.run_id, self.report_path, hook=self._hook)
        return self.summary()

    def summary(self) -> RunSummary:
        """How the run stands in the ledger."""
        return summarise(self._ledger, self.run)

    def verify(self) -> Verification:
        """Read every written dataset's history and metadata back. Changes nothing, not even the
        ledger."""
        reader = self._opened.connected.reader

        def check(row: ItemRow) -> Verified:
            assert row.planned is not None
            assert row.version_after is not None
            return self._opened.operation.verify(reader, row.planned, row.version_after, full=True)

        return verify_items(self._ledger, self._pool, self.run_id, check)

    def notable_items(self, limit: int) -> list[ItemRow]:
        """Items that did not end well, then those not processed, then the others."""
        return notable_items(self._ledger, self.run_id, limit)

    @property
    def report_path(self) -> Path:
        """Where ``finish`` writes the full report, as JSON lines."""
        return self._surroundings.home / "reports" / f"{self.run_id}.jsonl"

    def close(self) -> None:
        """Give up leases, threads and connections. What is open stays resumable."""
        self._stop.set(StopReason.INTERRUPTED, "the session was closed")
        self._heartbeat.close()
        self._pool.close()
        self._ledger.end_execution(self._execution_id)

    # -- shards -----------------------------------------------------------------------------

    def _claim(self, number: ShardNo) -> Claim | None:
        """Own the shard, waiting while another living execution does; None when stopping."""
        while not self._stop.is_set():
            try:
                return self._recorder.call(
                    lambda: self._ledger.claim_shard(self.run_id, number, self._execution_id)
                )
            except RunBusy as error:
                log.info("shard %s: %s; waiting", number, error)
                self._bury_the_dead()
                self._stop.wait(POLL_SECONDS)
        return None

    def _execute(self, claim: Claim) -> bool:
        shard = next(s for s in self._ledger.shards(self.run_id) if s.shard == claim.shard)
        rows = self._rows(claim.shard, set(ItemState))
        rows = [row for row in rows if self._has_work(row)]
        run = ShardRun(self._engine, claim)
        rows = self._leased(claim, run, rows)
        self._hook(Point.OWNED)
        works = self._works(shard, rows)
        new = [work for work in works if work.stage is Stage.PLAN]
        others = [work for work in works if work.stage is not Stage.PLAN]
        drafted = run.plan(new) if new else []
        return not self._stop.is_set() and run.apply([*others, *drafted])

    def _rows(self, number: ShardNo, states: set[ItemState]) -> list[ItemRow]:
        return self._recorder.call(
            lambda: list(self._ledger.items(self.run_id, shard=number, states=states))
        )

    def _has_work(self, row: ItemRow) -> bool:
        if row.state is ItemState.APPLIED:
            return self._engine.verifies and row.verified_at is None
        return row.state in _STAGES

    def _works(self, shard: ShardRow, rows: list[ItemRow]) -> list[Work]:
        reads = any(_STAGES[row.state] in {Stage.PLAN, Stage.DRAFT} for row in rows)
        records = self._records(shard) if reads else {}
        works = []
        now = datetime.now(UTC)
        for row in rows:
            work = Work(row=row, stage=_STAGES[row.state], record=records.get(row.dataset_id))
            work.lost = work.stage is Stage.SETTLE
            work.version = row.version_after
            if row.sent_at is not None:
                work.sent_at = time.monotonic() - (now - row.sent_at).total_seconds()
            works.append(work)
        return works

    def _records(self, shard: ShardRow) -> dict[DatasetId, DatasetRecord]:
        """The shard's listing pages, read again; empty when they cannot be."""
        reader = self._opened.connected.reader
        size = self.run.options.shard_size
        found: dict[DatasetId, DatasetRecord] = {}
        for link in shard.pages:
            try:
                page = reader.page(link, size=size)
            except CatalogError as error:
                log.warning("shard %s: page not read again (%s)", shard.shard, error)
                return {}
            found.update((record.dataset_id, record) for record in page.records)
        return found

    def _leased(self, claim: Claim, run: ShardRun, rows: list[ItemRow]) -> list[ItemRow]:
        """Lease the items; those that another run holds are waited for or refused by name."""
        wanted = [row.dataset_id for row in rows]
        while not self._stop.is_set():
            held = self._recorder.call(lambda: self._ledger.lease(claim, wanted)).by_dataset
            if not held:
                return rows
            if self.run.options.on_lease is OnLease.REFUSE:
                taken = [row for row in rows if row.dataset_id in held]
                run.refuse(
                    {
                        Work(row=row, stage=_STAGES[row.state]): f"held by run "
                        f"{held[row.dataset_id]}; nothing was written. Retry when it has ended, "
                        "or use --on-lease wait"
                        for row in taken
                    }
                )
                return [row for row in rows if row.dataset_id not in held]
            self._stop.wait(POLL_SECONDS)
        return []

    # -- set-up -----------------------------------------------------------------------------

    def _begin(self) -> ExecutionId:
        self._bury_the_dead()
        return self._ledger.begin_execution(
            self.run_id, process=this_process(), lease_seconds=self._lease_seconds
        )

    def _bury_the_dead(self) -> None:
        """Executions whose process is gone from this host need not expire first."""
        for execution in self._ledger.executions(self.run_id, living=True):
            if is_gone(execution.process):
                self._ledger.declare_dead(execution.execution_id)

    def _make_engine(self, opened: Opened) -> Engine:
        connected, options = opened.connected, self.run.options
        enforced = connected.reader.capabilities.expects_version
        full = options.verify is Verify.FULL
        return Engine(
            jobs=Jobs(
                run_id=self.run_id,
                operation=opened.operation,
                reader=connected.reader,
                writer=connected.writer,
                limiter=self._limiter,
                may_send=self._may_send,
                priority=options.priority,
                full_verify=full,
                hook=self._hook,
            ),
            pool=self._pool,
            gate=self._gate,
            outage=self._outage,
            stop=self._stop,
            recorder=self._recorder,
            read_timeout=self._surroundings.read_timeout,
            verifies=full or (options.verify is Verify.AUTO and not enforced),
        )

    def _may_send(self) -> bool:
        return not self._stop.is_set() and self._heartbeat.outlives(self._request_seconds)

    def _note(self) -> str:
        seconds, reason = self._gate.closed_for()
        if seconds > 0:
            return f"waiting: {reason}"
        if self._limiter.allowed < self._limiter.ceiling:
            return (
                f"{self._limiter.allowed} of {self._limiter.ceiling} requests in flight allowed: "
                "the service refused or was slow"
                if self._limiter.reduced
                else ""
            )
        return ""


_STAGES = {
    ItemState.SELECTED: Stage.PLAN,
    ItemState.PLANNED: Stage.DRAFT,
    ItemState.SENT: Stage.SETTLE,
    ItemState.UNKNOWN: Stage.SETTLE,
    ItemState.APPLIED: Stage.VERIFY,
}


def _reads_report(limiter: Limiter) -> OnRetry:
    """Refused reads slow the run down like refused writes."""

    def on_retry(error: CatalogError, wait: float) -> None:
        log.info("read again in %.1f s: %s", wait, error)
        if isinstance(error, Throttled):
            limiter.on_refusal()

    return on_retry


@contextmanager
def open_session(
    request: RunRequest,
    surroundings: Surroundings,
    *,
    hook: Hook = pass_by,
    connector: Connector = over_http,
) -> Iterator[Session]:
    """Connect, register or take up the run, and begin an execution of it.

    Raises:
        RunMismatch: the run id belongs to another spec or catalog.
        RunNotFound: nothing but an unknown run id was given.
        InvalidInput: the change, the selection, or the URL cannot be used.
        CatalogError: the service cannot be reached or refuses the key.
        LedgerError: the ledger cannot be opened.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(surroundings.ledger_url))
        known = known_run(ledger, request)
        options = request.options or (known.options if known else RunOptions())
        limiter = Limiter(options.concurrency)
        retrier = Retrier(on_retry=_reads_report(limiter))
        connected = connector(connection_for(request, surroundings, known), retrier)
        stack.callback(connected.close)
        opened = open_run(request, surroundings, ledger, connected)
        session = Session(opened, surroundings, ledger, limiter=limiter, hook=hook)
        stack.callback(session.close)
        yield session
