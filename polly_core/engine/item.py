"""What workers do for one item. Every function answers with an event and never raises."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from polly_core.catalog.ports import Reader, Writer
from polly_core.engine.events import (
    Again,
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
    Work,
)
from polly_core.engine.limiter import Limiter
from polly_core.engine.points import Hook, Point, pass_by
from polly_core.errors import (
    AccessDenied,
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
)
from polly_core.operations.base import Draft, Operation

log = logging.getLogger(__name__)

MaySend = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Jobs:
    """The four things done for an item, with everything they need. Thread-safe."""

    run_id: RunId
    operation: Operation
    reader: Reader
    writer: Writer
    limiter: Limiter
    may_send: MaySend
    """Asked directly before each write: not stopping, and the lease outlives the request."""
    priority: str | None = None
    full_verify: bool = False
    hook: Hook = pass_by
    clock: Callable[[], float] = field(default=time.monotonic)

    def plan(self, work: Work) -> Event:
        """Read the item and decide."""
        try:
            record = work.record or self.reader.dataset(work.dataset_id)
            decision = self.operation.plan(self.reader, work.row.item(), record)
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
            moved = self._moved(work)
            if moved:
                return Moved(work, moved)
            return Drafted(work, self.operation.draft(self.reader, work.planned))
        except NotFound as error:
            return Moved(work, str(error))
        except InvalidInput as error:
            return Refused(work, str(error))
        except Exception as error:  # noqa: BLE001 - the item's boundary
            return self._read_failed(work, error)

    def send(self, work: Work) -> Event:
        """Write, once."""
        assert work.draft is not None
        if not self.may_send():
            return NotSent(work)
        seen = work.draft.planned.seen
        expected = seen.version_id if self.reader.capabilities.expects_version else None
        stamp = WriteStamp(run_id=self.run_id, priority=self.priority, expected_version_id=expected)
        work.sends += 1
        work.sending = True
        work.sent_at = self.clock()
        try:
            self.hook(Point.SENDING)
            applied = self.operation.apply(self.writer, work.draft, stamp)
            self.hook(Point.ANSWERED)
        except CatalogError as error:
            return self._write_failed(work, error)
        except Exception as error:
            log.exception("unexpected error while writing %s", work.dataset_id)
            return Lost(work, f"{type(error).__name__}: {error}")
        self.limiter.on_success()
        return Happened(work, applied.version_id)

    def settle(self, work: Work) -> Event:
        """Read whether the write whose answer was lost has happened."""
        planned = work.planned
        try:
            found = self.operation.settle(self.reader, planned, self.run_id)
        except Exception as error:  # noqa: BLE001 - the item's boundary
            return self._read_failed(work, error)
        if isinstance(found, NotHappened):
            return NotThere(work)
        if isinstance(found, Foreign):
            where = ", ".join(found.versions) or "the dataset is gone"
            return NotThere(
                work, moved=f"changed by someone else after {planned.seen.version_id}: {where}"
            )
        return Happened(
            work, found.version_id, inferred=not found.attributed, between=found.between
        )

    def verify(self, work: Work) -> Event:
        """Read whether the promise was kept."""
        assert work.version is not None
        try:
            verified = self.operation.verify(
                self.reader,
                work.planned,
                work.version,
                full=self.full_verify,
                resent=work.row.attempt + work.sends > 1,
            )
        except Exception as error:  # noqa: BLE001 - the item's boundary
            return self._read_failed(work, error)
        self.hook(Point.VERIFYING)
        return Checked(work, verified)

    def _moved(self, work: Work) -> str:
        """Why a stored plan no longer fits. A server that enforces versions is not asked twice."""
        record = work.record
        if record is None:
            if self.reader.capabilities.expects_version:
                return ""
            record = self.reader.dataset(work.dataset_id)
        seen = work.planned.seen.version_id
        if record.version_id == seen:
            return ""
        return f"planned at version {seen}, found {record.version_id}"

    def _write_failed(self, work: Work, error: CatalogError) -> Event:
        if isinstance(error, Unauthorized | AccessDenied):
            return Halted(work, str(error))
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
