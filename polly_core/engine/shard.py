"""Executes one shard: leases, plans, writes, settles, verifies, records."""

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from polly_core.engine.events import (
    Again,
    CannotSee,
    Checked,
    Decided,
    Drafted,
    Event,
    Halted,
    Happened,
    Lost,
    Moved,
    NotSent,
    NotThere,
    Refused,
    Stage,
    Stepped,
    Work,
)
from polly_core.engine.item import Jobs
from polly_core.engine.outage import Outage
from polly_core.engine.pending import GROUP, Pending, Told
from polly_core.engine.points import Point
from polly_core.engine.pool import Gate, Kind, Pool
from polly_core.engine.recorder import Recorder
from polly_core.engine.stop import StopSignal
from polly_core.ledger.rows import Claim, PlanRow
from polly_core.models.catalog import VersionId
from polly_core.models.run import ItemState, StepResult, StopReason
from polly_core.operations.keeping import saved_files
from polly_core.operations.orphans import orphans

log = logging.getLogger(__name__)

TICK = 0.05
# Events are looked at together: waking for each of them costs more than handling it.
LULL = 0.01
# Writes of one item whose answers were lost, before it is left unknown.
MOST_SENDS = 5
# Reads of one item that failed while other items got through.
MOST_FAILURES = 5
# The second settling read comes at least one read time-out after sending, clocks included.
SETTLE_MARGIN = 1.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What every shard of a process and run shares."""

    jobs: Jobs
    pool: Pool
    gate: Gate
    outage: Outage
    stop: StopSignal
    recorder: Recorder
    read_timeout: float
    verifies: bool
    repeat_unknown: bool = False
    """Send again what cannot be seen on this service."""
    clock: Callable[[], float] = time.monotonic
    told: Told = field(default_factory=Told)


class ShardRun:
    """One shard in one execution. Used by one thread, the coordinator; workers send events."""

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self._engine = engine
        self._claim = claim
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._open: set[Work] = set()
        self._ready: deque[Work] = deque()
        self._sent: set[Work] = set()
        self._timers: list[tuple[float, int, Work]] = []
        self._pending = Pending(claim, engine.clock, engine.told)
        self._stepped: list[Work] = []
        """They go on when their steps are committed."""
        self._to_verify: list[Work] = []
        self._unverified = 0
        self._running = 0
        """Jobs handed out whose event has not come."""

    # -- planning ---------------------------------------------------------------------------

    def plan(self, works: Iterable[Work]) -> list[Work]:
        """Plan items and commit their plan rows; those to be written come back drafted.

        Items that could not be read for good are recorded as failed. When the run stops in
        between, what was planned is recorded and the rest stays selected.
        """
        given = list(works)
        self._open = set(given)
        drafted: list[Work] = []
        rows: list[PlanRow] = []
        for work in given:
            self._dispatch(work)
        while self._open and not self._engine.stop.is_set():
            self._fire_timers()
            for event in self._take_events():
                if isinstance(event, Decided):
                    self._open.discard(event.work)
                    rows.append(PlanRow(seq=event.work.seq, decision=event.decision))
                    self._engine.outage.over()
                    event.work.draft = event.draft
                    if event.draft is None:
                        self._pending.free(event.work)
                    else:
                        event.work.stage = Stage.SEND
                        drafted.append(event.work)
                else:
                    self._handle(event)
        self._open.clear()
        self._record_plans(rows)
        return drafted

    def _record_plans(self, rows: list[PlanRow]) -> None:
        recorder = self._engine.recorder
        recorder.call(lambda: recorder.ledger.record_plans(self._claim, rows))
        self._engine.jobs.hook(Point.PLANNED)
        self._flush()
        recorder.judge(recorder.call(lambda: recorder.ledger.standing(self._claim.run_id)))

    def refuse(self, reasons: Mapping[Work, str]) -> None:
        """Record items that are not touched at all, each with its reason."""
        for work, reason in reasons.items():
            self._pending.outcome(work, ItemState.FAILED, reason)
        self._flush()

    # -- applying ---------------------------------------------------------------------------

    def apply(self, works: Iterable[Work]) -> bool:
        """Take every item to its outcome. True when nothing is left, verification included."""
        # In the selection's order, which may be one of urgency.
        given = sorted(works, key=lambda work: work.seq)
        self._open = set(given)
        for work in given:
            if work.stage is Stage.SEND:
                self._ready.append(work)
            else:
                self._dispatch(work)
        while self._open:
            if self._engine.stop.is_set():
                self._wind_down()
                return False
            self._fire_timers()
            self._intend()
            for event in self._take_events():
                self._handle(event)
            # Of items with several steps, half of those under way wait for no more than this.
            waiting = self._stepped and 2 * len(self._stepped) >= len(self._sent)
            if self._pending.is_due(alone=bool(waiting) or not self._running):
                self._flush()
        self._flush()
        return not self._unverified

    def _intend(self) -> None:
        """Commit the intent for as many items as the window has room, then hand them out."""
        window = self._engine.jobs.limiter.ceiling
        under_way = len(self._sent) - len(self._stepped)
        room = min(window - under_way, len(self._ready))
        # Each refill is a transaction: while workers have writes to start, wait for half a window.
        if room <= 0 or (room < window // 2 and self._engine.pool.waiting_writes):
            return
        taken = [self._ready.popleft() for _ in range(room)]
        self._sent.update(taken)
        self._flush(sent=tuple(work.seq for work in taken))
        self._engine.jobs.hook(Point.INTENDED)
        for work in taken:
            work.stage = Stage.SEND
            self._dispatch(work)

    def _dispatch(self, work: Work) -> None:
        jobs = self._engine.jobs
        work.sending = False
        stage = work.stage
        self._running += 1
        # Shards that share the slots evenly would end together, and leave them empty while the next
        # ones are read: the earlier one goes first.
        self._engine.pool.submit(
            self._kind(work), lambda: self._events.put(jobs.do(stage, work)), turn=self._claim.shard
        )

    def _kind(self, work: Work) -> Kind:
        if work.stage is Stage.SEND:
            return Kind.WRITE
        if (
            work.stage in {Stage.PLAN, Stage.DRAFT}
            and not self._engine.jobs.operation.calls_to_plan
        ):
            asks = work.record is None and not (work.stage is Stage.DRAFT and self._enforced)
            return Kind.CALL if asks else Kind.READ
        return Kind.CALL

    @property
    def _enforced(self) -> bool:
        return self._engine.jobs.reader.capabilities.expects_version

    # -- events -----------------------------------------------------------------------------

    def _take_events(self) -> list[Event]:
        """Whatever has happened, waiting a tick for the first."""
        taken: list[Event] = []
        try:
            if self._running or self._timers:
                taken.append(self._events.get(timeout=TICK))
                if self._running > 1:
                    time.sleep(LULL)
            while len(taken) < GROUP:
                taken.append(self._events.get_nowait())
        except Empty:
            pass
        self._running -= len(taken)
        return taken

    def _handle(self, event: Event) -> None:
        event.work.sending = isinstance(event, Lost)
        match event:
            case Drafted() | Stepped() | Happened() | Checked():
                self._succeeded(event)
            case Lost() | NotThere() | CannotSee():
                self._in_doubt(event)
            case Again():
                self._again(event)
            case Refused():
                self._refused(event.work, event.reason)
            case Moved():
                self._moved(event.work, event.reason)
            case NotSent():
                self._put_back(event.work)
            case Halted():
                self._halt(event.work, event.reason)
            case Decided():
                raise AssertionError("planning ended before")

    def _succeeded(self, event: Drafted | Stepped | Happened | Checked) -> None:
        work = event.work
        match event:
            case Drafted():
                work.draft, work.stage = event.draft, Stage.SEND
                self._ready.append(work)
            case Stepped():
                self._step_done(work, event.result)
                self._stepped.append(work)
            case Happened():
                self._happened(event)
            case Checked():
                self._checked(event)

    def _in_doubt(self, event: Lost | NotThere | CannotSee) -> None:
        work = event.work
        match event:
            case Lost():
                work.lost, work.stage = True, Stage.SETTLE
                log.info("dataset %s: answer lost (%s); settling", work.dataset_id, event.reason)
                self._dispatch(work)
            case NotThere():
                for result in event.done:
                    self._step_done(work, result)
                self._not_there(work, event.moved)
            case CannotSee() if self._engine.repeat_unknown:
                self._not_there(work, "")
            case CannotSee():
                self._end(work, ItemState.UNKNOWN, event.reason)

    def _halt(self, work: Work, reason: str) -> None:
        self._engine.stop.set(StopReason.CANNOT_PROCEED, reason)
        if work.stage is Stage.SEND:
            self._put_back(work)

    def _step_done(self, work: Work, result: StepResult) -> None:
        """The next step waits until this one is in the ledger."""
        work.done = (*work.done, result)
        work.version = result.version_id or work.version
        work.sends, work.lost = 0, False
        self._pending.step(work, result)
        self._engine.outage.over()

    def _happened(self, event: Happened) -> None:
        work = event.work
        self._engine.outage.over()
        work.version = event.version_id or work.version
        if event.between:
            self._conflict(work, event.between)
            return
        saved = saved_files(work.done)
        self._pending.outcome(work, ItemState.APPLIED, *saved, inferred=event.inferred)
        self._sent.discard(work)
        settled_is_enough = work.stage is Stage.SETTLE and not self._engine.jobs.full_verify
        if self._engine.verifies and not settled_is_enough:
            self._to_verify.append(work)
            return
        if self._engine.verifies:
            self._pending.verified(work)
        self._close(work)

    def _conflict(self, work: Work, between: tuple[VersionId, ...]) -> None:
        others = ", ".join(between)
        self._end(
            work,
            ItemState.CONFLICT,
            f"version {others} was written by someone else between the version planned "
            f"({work.planned.version_seen}) and ours ({work.version}); nothing is lost, "
            "both are in the history",
        )

    def _moved(self, work: Work, reason: str) -> None:
        if any(one.changes_catalog for one in work.done):
            said = f"{reason}; done before: {', '.join(one.step for one in work.done)}"
            self._end(work, ItemState.FAILED, said)
        else:
            self._end(work, ItemState.DRIFTED, reason)

    def _refused(self, work: Work, reason: str) -> None:
        if work.stage is Stage.VERIFY:
            # The write stands; only the reading failed. The shard stays open for a resume.
            log.warning("dataset %s: could not be verified: %s", work.dataset_id, reason)
            self._unverified += 1
            self._close(work)
        elif work.stage is Stage.SETTLE:
            self._end(work, ItemState.UNKNOWN, f"could not be settled: {reason}")
        else:
            # What could not be planned is invalid, as the plan has it.
            planning = work.stage is Stage.PLAN
            self._end(work, ItemState.INVALID if planning else ItemState.FAILED, reason)

    def _again(self, event: Again) -> None:
        work, outage = event.work, self._engine.outage
        wait = outage.failed(event.wait)
        if wait is None:
            self._halt(work, event.reason)
            return
        if work.stage is not Stage.SEND and outage.successes > work.seen_successes:
            work.failures += 1
            work.seen_successes = outage.successes
            if work.failures >= MOST_FAILURES:
                self._refused(work, event.reason)
                return
        if work.stage is Stage.SEND:
            self._engine.gate.close(_hold_reason(event), wait)
        if not event.throttled:
            self._engine.jobs.limiter.on_outage()
        self._later(work, wait)

    def _not_there(self, work: Work, moved: str) -> None:
        """Once is enough where the server enforces versions: a late request is refused there."""
        due = work.sent_at + self._engine.read_timeout + SETTLE_MARGIN
        wait = due - self._engine.clock()
        if not self._enforced and wait > 0:
            self._later(work, wait)
        elif moved:
            self._moved(work, moved)
        elif work.sends >= MOST_SENDS:
            self._end(work, ItemState.UNKNOWN, f"{work.sends} answers were lost; nothing found")
        else:
            self._pending.outcome(work, ItemState.PLANNED)
            self._sent.discard(work)
            # Files have no versions: whoever attached one meanwhile is seen by looking again.
            touches_files = bool(work.planned.attach or work.planned.detach)
            work.stage = Stage.SEND if work.draft and not touches_files else Stage.DRAFT
            if work.stage is Stage.SEND:
                self._ready.append(work)
            else:
                self._dispatch(work)

    def _checked(self, event: Checked) -> None:
        work, verified = event.work, event.verified
        if verified.between:
            self._conflict(work, verified.between)
        elif verified.repeated:
            self._end(work, ItemState.CONFLICT, twice(verified.repeated))
        elif verified.problems:
            self._end(work, ItemState.CONFLICT, *verified.problems)
        else:
            self._pending.verified(work)
            self._close(work)

    def _put_back(self, work: Work) -> None:
        """It was marked as sent and certainly was not: it is planned again."""
        self._pending.outcome(work, ItemState.PLANNED)
        self._sent.discard(work)
        if self._engine.stop.is_set():
            self._open.discard(work)
        else:
            self._later(work, 1.0)

    # -- ends -------------------------------------------------------------------------------

    def _end(self, work: Work, state: ItemState, *reasons: str) -> None:
        left = _left_behind(work) if state in {ItemState.DRIFTED, ItemState.FAILED} else ()
        self._pending.outcome(work, state, *reasons, *left)
        self._pending.hurry()
        self._close(work)

    def _close(self, work: Work) -> None:
        self._open.discard(work)
        self._sent.discard(work)
        self._pending.free(work)

    # -- timers and commits -----------------------------------------------------------------

    def _later(self, work: Work, wait: float) -> None:
        heapq.heappush(self._timers, (self._engine.clock() + wait, work.seq, work))

    def _fire_timers(self) -> None:
        # The gate opens by itself; somebody has to look.
        self._engine.pool.wake()
        now = self._engine.clock()
        while self._timers and self._timers[0][0] <= now:
            work = heapq.heappop(self._timers)[2]
            if work.stage is Stage.SEND and work not in self._sent:
                self._ready.append(work)
            else:
                self._dispatch(work)

    def _flush(self, sent: tuple[int, ...] = ()) -> None:
        """Commit everything pending and the intents, in one transaction."""
        batch = self._pending.batch(sent)
        if batch is None:
            return
        self._engine.recorder.commit(self._claim, batch)
        if batch.outcomes:
            self._engine.jobs.hook(Point.RECORDED)
        if batch.verified:
            self._engine.jobs.hook(Point.VERIFIED)
        self._pending.committed()
        self._go_on()

    def _go_on(self) -> None:
        """What waited for a commit."""
        stepped, self._stepped = self._stepped, []
        for work in stepped:
            if work in self._sent and not self._engine.stop.is_set():
                self._dispatch(work)
        works, self._to_verify = self._to_verify, []
        for work in works:
            work.stage = Stage.VERIFY
            self._dispatch(work)

    def _wind_down(self) -> None:
        """Record what is in flight; what does not answer in time is unknown."""
        self._engine.gate.release()
        self._engine.pool.wake()
        waiting = {work for work in self._sent if work.stage is Stage.SEND}
        waiting -= {work for _, _, work in self._timers}
        while waiting & self._sent and self._engine.stop.grace_left() > 0:
            for event in self._take_events():
                if event.work in waiting:
                    waiting.discard(event.work)
                    self._last_word(event)
        for work in list(self._sent):
            unsure = work.sending or work.stage is Stage.SETTLE
            state = ItemState.UNKNOWN if unsure else ItemState.PLANNED
            self._pending.outcome(work, state)
        self._sent.clear()
        self._flush()

    def _last_word(self, event: Event) -> None:
        event.work.sending = isinstance(event, Lost)
        if isinstance(event, Lost):
            event.work.stage = Stage.SETTLE
        elif isinstance(event, Again):
            self._put_back(event.work)
        else:
            self._handle(event)


def _hold_reason(event: Again) -> str:
    return "the service asked to slow down" if event.throttled else event.reason


def _left_behind(work: Work) -> tuple[str, ...]:
    """What an item that did not end well leaves in the store, by location."""
    if not work.has_plan:
        return ()
    left = orphans(work.planned, work.done)
    return tuple(f"uploaded, and referred to by nothing of this item: {uri}" for uri in left)


def twice(versions: tuple[VersionId, ...]) -> str:
    """What is said of a write whose lost request was delivered after all."""
    return (
        f"version {', '.join(versions)} has the same content as ours and came later: a request "
        "that was settled as lost was delivered after all"
    )
