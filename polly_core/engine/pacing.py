"""Lets others know, through the ledger, how fast a running execution goes."""

import logging
import time
from collections.abc import Callable

from polly_core.engine.meter import Progress
from polly_core.errors import LedgerError
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Pace
from polly_core.models.run import ExecutionId

log = logging.getLogger(__name__)

TELL_SECONDS = 3.0


class PaceTeller:
    """Tells every few seconds at most. A ledger that is away is not told; nothing else happens."""

    def __init__(
        self,
        ledger: Ledger,
        execution_id: ExecutionId,
        progress: Callable[[], Progress],
        *,
        seconds: float = TELL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._execution_id = execution_id
        self._progress = progress
        self._seconds = seconds
        self._clock = clock
        self._told_at = clock()

    def look(self) -> None:
        """Tell, where it is time to."""
        # Also where it is not: a rate comes of looking more than once.
        found, now = self._progress(), self._clock()
        if now - self._told_at < self._seconds:
            return
        self._told_at = now
        pace = Pace(
            rate=found.rate,
            eta_seconds=found.eta_seconds,
            concurrency=found.concurrency,
            note=found.note,
        )
        try:
            self._ledger.tell_pace(self._execution_id, pace)
        except LedgerError as error:
            log.debug("execution %s: its pace could not be told: %s", self._execution_id, error)
