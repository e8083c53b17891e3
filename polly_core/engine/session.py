"""One run in one process: what flows and commands call."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from polly_core.engine.blocks import BlockRange, Blocks
from polly_core.engine.control import ControlWatch, reset
from polly_core.engine.execution import Execution
from polly_core.engine.freeze import Freezer
from polly_core.engine.item import Jobs
from polly_core.engine.judging import Judge
from polly_core.engine.limiter import Limiter
from polly_core.engine.meter import Meter, Progress
from polly_core.engine.opening import (
    Connector,
    Opened,
    atlas_of,
    known_run,
    open_run,
    options_of,
    over_http,
)
from polly_core.engine.outage import Outage
from polly_core.engine.pacing import PaceTeller
from polly_core.engine.planned import RunPlan, adopt_items, adopt_plans, plan_of
from polly_core.engine.points import Hook, Point, pass_by
from polly_core.engine.pool import Gate, Pool
from polly_core.engine.recorder import Recorder
from polly_core.engine.report import notable_items, summarise, write_report
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.runner import Runner
from polly_core.engine.shard import Engine
from polly_core.engine.stop import StopSignal
from polly_core.engine.verifying import Verification, Verifier, assertions_of
from polly_core.engine.waves import WaveRange, is_open, ranges
from polly_core.errors import CatalogError, LedgerError, Throttled
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import ItemRow, RunRow, ShardNo, ShardRow
from polly_core.models.catalog import CatalogRef, RunId, WriteStamp
from polly_core.models.run import (
    NOT_PROCESSED,
    Counts,
    ItemState,
    OperationName,
    RunOptions,
    RunState,
    RunSummary,
    StopReason,
    Verify,
)
from polly_core.planning.selection import Where
from polly_core.transport.retry import OnRetry, Retrier

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


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
            ledger,
            self.run.run_id,
            self.run.options,
            gate=self._gate,
            stop=self._stop,
            limiter=limiter,
        )
        self._recorder.counts = ledger.counts(self.run.run_id)
        self._execution = Execution(
            ledger,
            self.run.run_id,
            request_seconds=surroundings.connect_timeout + surroundings.read_timeout,
            stop=self._stop,
        )
        self.blocks = Blocks(self._recorder, self._execution.execution_id)
        """What is given to other processes."""
        self._engine = self._make_engine(opened)
        self._wave: WaveRange | None = None
        self._awaited = ""
        self._judge = self._make_judge(opened)
        self.planned: RunPlan | None = None
        """What ``plan`` came to."""
        if len(ledger.executions(self.run.run_id, living=True)) == 1:
            reset(ledger, self.run.run_id)
        self._pace = PaceTeller(ledger, self._execution.execution_id, self.progress)
        self._watch = ControlWatch(self._recorder, self._look)
        self._watch.start()

    def _look(self) -> None:
        self._pool.wake()
        self._pace.look()

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
        """Freeze the selection, unless it is; the number of items.

        Another execution that came first is waited for: a run has one selection.
        """
        while self.run.total is None and not self._stop.is_set():
            if self._recorder.call(self._execution.is_first):
                self._recorder.call(self._adopt_or_select)
                self._hook(Point.FROZEN)
            else:
                self._stop.wait(POLL_SECONDS)
            self._refresh()
        return self.run.total or 0

    def _adopt_or_select(self) -> None:
        if self._opened.plan is not None:
            adopt_items(self._ledger, self.run, self._opened.plan)
        else:
            self._select()

    def _select(self) -> None:
        where = self.run.spec.selection.where
        Freezer(
            reader=self._opened.listing,
            pool=self._pool,
            ledger=self._ledger,
            run=self.run,
            selection_file=self._opened.selection_file,
            where=None if where is None else Where(where),
            enrich=self._opened.built.enrich,
            by_file=self._opened.built.by_file,
            batches=self._opened.built.batches,
            stop=self._stop,
        ).freeze()

    def _refresh(self) -> None:
        self.run = self._recorder.call(lambda: self._ledger.run(self.run_id))
        self._recorder.counts = self._recorder.call(lambda: self._ledger.counts(self.run_id))

    def _shards(self) -> list[ShardRow]:
        return self._recorder.call(lambda: self._ledger.shards(self.run_id, open_only=True))

    def plan(self) -> RunPlan | None:
        """Plan every item before the first write; what the plan comes to, or None if stopped.

        Leases are not taken: applying finds out what moved since.
        """
        plan_file, execution_id = self._opened.plan, self._execution.execution_id
        if self.run.plan_digest is None:
            if plan_file is not None:
                self._recorder.call(
                    lambda: adopt_plans(self._ledger, self.run, plan_file, execution_id)
                )
            runner = self._runner()
            for shard in self._shards():
                runner.plan(shard)
            if self._stop.is_set():
                return None
            self._refresh()
        found = self._recorder.call(lambda: plan_of(self._ledger, self.run))
        if self.run.plan_digest is None:
            self._recorder.call(lambda: self._ledger.set_plan_digest(self.run_id, found.digest))
            self._set_state(RunState.PLANNED)
            self._refresh()
        self.planned = found
        return found

    def waves(self) -> list[WaveRange]:
        """The waves of a planned run in order, those that are through included.

        One of everything where no waves are asked for, or nothing is planned before.
        """
        return self._recorder.call(lambda: ranges(self._ledger, self.run))

    def is_approved(self, wave: int) -> bool:
        """Whether somebody has approved this plan (wave 0) or this wave of it."""
        digest = self.run.plan_digest
        found = self._recorder.call(lambda: self._ledger.approvals(self.run_id))
        return any(one.plan_digest == digest and one.wave == wave for one in found)

    def approve(self, wave: int, by: str) -> None:
        """Record somebody's approval of the plan (wave 0) or of a wave.

        Raises:
            LedgerError: the run is not planned.
        """
        digest = self.run.plan_digest or ""
        self._recorder.call(lambda: self._ledger.approve(self.run_id, digest, wave, by))

    @contextmanager
    def awaiting_approval(self, wave: int) -> Iterator[None]:
        """Tell whoever looks at the run that it waits for a person inside."""
        what, more = (f"wave {wave}", f" --wave {wave}") if wave else ("the plan", "")
        self._awaited = f"approval of {what}: polly-bulk approve {self.run_id}{more}"
        try:
            yield
        finally:
            self._awaited = ""

    def open_shards(self, wave: WaveRange | None = None) -> list[int]:
        """Shards with work left, in order. From here on the run counts as running.

        Args:
            wave: only this one is worked on from now on; None is everything.
        """
        self._wave = wave
        end = wave.end if wave else None
        rows = [] if self.finished else self._shards()
        shards = [row.shard for row in rows if end is None or row.first_seq < end]
        if shards:
            self._set_state(RunState.RUNNING)
        return list(shards)

    def take_block(self, block: BlockRange) -> list[int]:
        """Shards of a block with work left; from now on only its wave is worked on.

        Nothing is said of the run's state: that is for the process that gave the block.
        """
        self._wave = block.wave
        return self.blocks.open_shards(block)

    def has_open_items(self, wave: WaveRange) -> bool:
        """Whether a wave has something left to be written or settled."""
        return is_open(self._ledger, self.run_id, wave)

    def conclude(self, wave: WaveRange) -> bool:
        """Judge a wave that is through; False, and the run stops, where it did not go well.

        Its budget counts from the first item, and everything it wrote is read back in full. Where
        there are no waves, only the assertions are evaluated, for ``finish`` to tell.
        """
        if not self._stop.is_set():
            self._judge.total = self.run.total or 0
            wrong = self._recorder.call(lambda: self._judge.wave(wave))
            if wrong is not None:
                self._stop.set(*wrong)
        return not self._stop.is_set()

    def _set_state(self, state: RunState) -> None:
        found = self._judge.found if state is RunState.FINISHED else None
        stop = self._stop if state is RunState.STOPPED else None
        self._recorder.call(
            lambda: self._ledger.set_state(
                self.run_id,
                state,
                stop=stop.reason if stop else None,
                message=stop.message if stop else (found.told() if found else ""),
                broken=found.bad if found else 0,
            )
        )

    def run_shard(self, number: int) -> Counts:
        """Take every item of a shard to its outcome; the run's totals afterwards.

        A shard that another living execution works on is waited for. What stops a run stops
        here quietly; ``finish`` says why.
        """
        if self._stop.is_set():
            return self._recorder.counts
        try:
            self._runner().apply(ShardNo(number))
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

    @property
    def stop_message(self) -> str:
        """The same in words; may be empty."""
        return self._stop.message

    def progress(self) -> Progress:
        """How it goes. Cheap; asks nobody."""
        counts = self._recorder.counts
        rate = self._meter.rate(counts.processed)
        left = (self.run.total or 0) - counts.processed
        return Progress(
            counts=counts,
            rate=rate,
            eta_seconds=left / rate if rate > 0 and not self._awaited else None,
            concurrency=self._limiter.allowed,
            note=self._note(),
        )

    def finish(self) -> RunSummary:
        """Say in the ledger how the run stands, and write the report.

        Where another process is at it, the run goes on; the summary says why this one ended.
        """
        if not self.finished:
            done = not self._shards() and self.run.total is not None
            if done:
                self._judge.total = self.run.total or 0
                self._recorder.call(self._judge.rest)
                done = not self._judge.incomplete
            self._recorder.call(self._execution.close)
            if not done and not self._has_open_items():
                self._stop.set(
                    StopReason.CANNOT_PROCEED,
                    "some written datasets could not be verified; resume to try again",
                )
            # Another process may be at it: then the run has not stopped.
            if done or not self.blocks.others():
                self._set_state(RunState.FINISHED if done else RunState.STOPPED)
            self._refresh()
        write_report(self._ledger, self.run_id, self.report_path, hook=self._hook)
        found = self.summary()
        if found.state is not RunState.RUNNING:
            return found
        ended = {"stop": self._stop.reason, "message": self._stop.message}
        return found.model_copy(update=ended)

    def _has_open_items(self) -> bool:
        counts = self._recorder.call(lambda: self._ledger.counts(self.run_id))
        return self.run.total is None or counts.of(*NOT_PROCESSED, ItemState.UNKNOWN) > 0

    def summary(self) -> RunSummary:
        """How the run stands in the ledger."""
        return summarise(self._ledger, self.run)

    def verify(
        self, wave: WaveRange | None = None, *, assertions: tuple[str, ...] = ()
    ) -> Verification:
        """Read back everything that was written: history, content, files; and see whether the
        assertions hold. Changes nothing, not even the ledger.

        Args:
            wave: only what belongs to this one.
            assertions: beside the run's own.

        Raises:
            InvalidInput: an assertion is no expression.
        """
        more = assertions_of(self.operation, self.options, assertions)
        return self._judge.verify(wave, more)

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
        self._watch.close()
        self._pool.close()
        self._execution.close()

    # -- set-up -----------------------------------------------------------------------------

    def _runner(self) -> Runner:
        end = self._wave.end if self._wave else None
        return Runner(self.run, self._engine, self._execution, self._opened.listing, end)

    def _make_engine(self, opened: Opened) -> Engine:
        connected, options = opened.connected, self.run.options
        enforced = connected.reader.capabilities.expects_version
        full = options.verify is Verify.FULL
        return Engine(
            jobs=Jobs(
                operation=opened.operation,
                ports=connected,
                limiter=self._limiter,
                may_send=self._may_send,
                stamp=WriteStamp(
                    run_id=self.run_id, priority=options.priority, flags=opened.built.flags
                ),
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
            repeat_unknown=options.repeat_unknown,
        )

    def _make_judge(self, opened: Opened) -> Judge:
        verifier = Verifier(
            self.run_id,
            opened.connected.reader,
            opened.operation,
            self._pool,
            assertions_of(self.operation, self.options),
            self._stop.is_set,
        )
        return Judge(self._ledger, self.options, verifier)

    def _may_send(self) -> bool:
        return not self._stop.is_set() and self._execution.covers_a_request()

    def _note(self) -> str:
        if self._awaited:
            return f"waiting for {self._awaited}"
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
        options = options_of(request, known)
        limiter = Limiter(options.concurrency)
        retrier = Retrier(on_retry=_reads_report(limiter))
        atlas_id = atlas_of(request, ledger, known)
        where = surroundings.connection(atlas_id, pool_size=options.concurrency)
        connected = connector(where, retrier)
        stack.callback(connected.close)
        opened = open_run(request, surroundings, ledger, connected)
        session = Session(opened, surroundings, ledger, limiter=limiter, hook=hook)
        stack.callback(session.close)
        yield session
