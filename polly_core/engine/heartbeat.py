"""Keeps an execution's lease alive, and says how long it still is."""

import logging
import threading
import time
from collections.abc import Callable

from polly_core.engine.stop import StopSignal
from polly_core.errors import LedgerUnavailable, OwnershipLost
from polly_core.ledger.ledger import Ledger
from polly_core.models.run import ExecutionId, StopReason

log = logging.getLogger(__name__)


class Heartbeat:
    """Renews in a thread of its own. A lease is counted from before its renewal was asked for."""

    def __init__(
        self,
        ledger: Ledger,
        execution_id: ExecutionId,
        lease_seconds: float,
        stop: StopSignal,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._execution_id = execution_id
        self._lease_seconds = lease_seconds
        self._stop = stop
        self._clock = clock
        self._until = clock() + lease_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="polly-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(timeout=5.0)

    def outlives(self, seconds: float) -> bool:
        """Whether the lease will still hold after so many seconds."""
        return self._until - self._clock() > seconds

    def _beat(self) -> None:
        wait = self._lease_seconds / 4
        while not self._ended.wait(wait):
            asked = self._clock()
            try:
                self._ledger.renew_execution(self._execution_id, lease_seconds=self._lease_seconds)
            except LedgerUnavailable as error:
                log.warning("lease not renewed: %s", error)
                wait = 1.0
            except OwnershipLost as error:
                self._until = 0.0
                self._stop.set(StopReason.CANNOT_PROCEED, str(error))
                return
            else:
                self._until = asked + self._lease_seconds
                wait = self._lease_seconds / 4
