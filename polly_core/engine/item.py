"""What workers do for one item. Every function answers with an event and never raises."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from polly_core.catalog.ports import Ports, Reader
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
from polly_core.engine.limiter import Limiter
from polly_core.engine.points import Hook, Point, pass_by
from polly_core.errors import (
    AccessDenied,
    CannotProceed,
    CatalogError,
    Conflict,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    PollyError,
    StorageError,
    Throttled,
    Unauthorized,
)
from polly_core.models.catalog import RunId, WriteStamp
from polly_core.models.run import (
    Foreign,
    Invalid,
    NotHappened,
    StepResult,
    Unseen,
)
from polly_core.operations.base import Draft, Drift, Operation, Written

log = logging.getLogger(__name__)

MaySend = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Jobs:
    """The four things done for an item, with everything they need. Thread-safe."""

    operation: Operation
    ports: Ports
    limiter: Limiter
    may_send: MaySend
    """Asked directly before each write: not stopping, and the lease outlives the request."""
    stamp: WriteStamp
    """What goes with every write; the version expected is added to it."""
    full_verify: bool = False
    hook: Hook = pass_by
    clock: Callable[[], float] = field(default=time.monotonic)

    @property
    def reader(self) -> Reader:
        """Reads of the atlas that the run writes."""
        return self.ports.reader

    @property
    def run_id(self) -> RunId:
        """The run's id."""
        return self.stamp.run_id

    def do(self, stage: Stage, work: Work) -> Event:
        """What the item's stage asks for. Whatever is raised becomes an event, SystemExit as well:
        nobody would hear of it on a thread, and the shard would wait for ever."""
        step: Callable[[Work], Event] = getattr(self, stage.value)
        try:
            return step(work)
        except BaseException as error:
            log.exception("unexpected error on %s", work.dataset_id)
            reason = f"{type(error).__name__}: {error}"
            return Lost(work, reason) if work.sending else Refused(work, reason)

    def plan(self, work: Work) -> Event:
        """Read the item and decide."""
        try:
            decision = self.operation.plan(self.reader, work.row.item(), work.record)
        except NotFound as error:
            return Decided(work, Invalid(reasons=(f"dataset {work.dataset_id}: {error}",)))
        except Exception as error:  # noqa: BLE001 - the item's boundary: recorded, never lost
            return self._read_failed(work, error)
        self.hook(Point.READ)
        if isinstance(decision, Draft):
            return Decided(work, decision.planned, decision)
        return Decided(work, decision)

    def draft(self, work: Work) -> Event:
        """Read again what a stored plan was made on, if the dataset is still there."""
        try:
            draft = self.operation.draft(self.reader, work.planned, work.record, work.done)
        except NotFound as error:
            return Moved(work, str(error))
        except InvalidInput as error:
            return Refused(work, str(error))
        except Exception as error:  # noqa: BLE001 - the item's boundary
            return self._read_failed(work, error)
        return Moved(work, draft.reason) if isinstance(draft, Drift) else Drafted(work, draft)

    def send(self, work: Work) -> Event:
        """Do the next step, once."""
        assert work.draft is not None
        if not self.may_send():
            return NotSent(work)
        work.sends += 1
        work.sending = True
        work.sent_at = self.clock()
        try:
            self.hook(Point.SENDING)
            draft = replace(work.draft, done=work.done)
            answer = self.operation.apply(self.ports, draft, self._stamp(work))
            self.hook(Point.ANSWERED)
        except (CatalogError, StorageError, InvalidInput, CannotProceed) as error:
            return self._write_failed(work, error)
        except Exception as error:
            log.exception("unexpected error while writing %s", work.dataset_id)
            return Lost(work, f"{type(error).__name__}: {error}")
        self.limiter.on_success()
        if isinstance(answer, StepResult):
            return Stepped(work, answer)
        return Happened(work, answer.version_id)

    def _stamp(self, work: Work) -> WriteStamp:
        seen = work.planned.seen
        if seen is None or not self.reader.capabilities.expects_version:
            return self.stamp
        return self.stamp.model_copy(update={"expected_version_id": seen.version_id})

    def settle(self, work: Work) -> Event:
        """Read whether the write whose answer was lost has happened."""
        planned = work.planned
        try:
            found = self.operation.settle(self.reader, planned, work.done, self.run_id)
        except Exception as error:  # noqa: BLE001 - the item's boundary
            return self._read_failed(work, error)
        if isinstance(found, NotHappened):
            return NotThere(work, done=found.done)
        if isinstance(found, Unseen):
            return CannotSee(work, found.reason)
        if isinstance(found, Foreign):
            where = found.reason or ", ".join(found.versions) or "the dataset is gone"
            return NotThere(
                work, moved=f"changed by someone else after {planned.version_seen}: {where}"
            )
        return Happened(
            work, found.version_id, inferred=not found.attributed, between=found.between
        )

    def verify(self, work: Work) -> Event:
        """Read whether the promise was kept."""
        resent = work.row.attempt + work.sends > 1
        try:
            verified = self.operation.verify(
                self.reader,
                Written(work.planned, work.version, work.done, resent, self.stamp.run_id),
                full=self.full_verify,
            )
        except Exception as error:  # noqa: BLE001 - the item's boundary
            return self._read_failed(work, error)
        self.hook(Point.VERIFYING)
        return Checked(work, verified)

    def _write_failed(self, work: Work, error: PollyError) -> Event:
        if isinstance(error, Unauthorized | AccessDenied | CannotProceed):
            return Halted(work, str(error))
        if not isinstance(error, CatalogError):
            # An object without a document that names it is nothing: the step is done again.
            again = isinstance(error, StorageError) and error.retryable
            return Again(work, str(error)) if again else Refused(work, str(error))
        return self._request_failed(work, error)

    def _request_failed(self, work: Work, error: CatalogError) -> Event:
        if not error.outcome_known or isinstance(error, OutcomeUnknown):
            self.limiter.on_refusal()
            return Lost(work, str(error))
        if error.retryable:
            throttled = isinstance(error, Throttled)
            self.limiter.on_refusal()
            return Again(work, str(error), error.retry_after or 0.0, throttled)
        # It answered, so it is not in trouble.
        self.limiter.on_success()
        if work.lost:
            return Lost(work, f"refused on a later attempt: {error}")
        if isinstance(error, Conflict | NotFound):
            return Moved(work, str(error))
        return Refused(work, str(error))

    def _read_failed(self, work: Work, error: Exception) -> Event:
        reason = str(error) or type(error).__name__
        if isinstance(error, Unauthorized | AccessDenied):
            return Halted(work, reason)
        if isinstance(error, CatalogError | StorageError) and error.retryable:
            after = error.retry_after if isinstance(error, CatalogError) else None
            return Again(work, reason, after or 0.0, isinstance(error, Throttled))
        if not isinstance(error, PollyError):
            log.error("unexpected error on %s", work.dataset_id, exc_info=error)
            reason = f"{type(error).__name__}: {reason}"
        return Refused(work, reason)
