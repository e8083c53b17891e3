"""The ledger as the shards of one process use it: patient, and watching budget and control."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from polly_core.engine.limiter import Limiter
from polly_core.engine.pool import Gate
from polly_core.engine.stop import StopSignal
from polly_core.errors import LedgerUnavailable
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch, Claim, Control, Standing, Wanted
from polly_core.models.catalog import RunId
from polly_core.models.run import Counts, RunOptions, StopReason

log = logging.getLogger(__name__)

T = TypeVar("T")

# How long outcomes are kept in memory while the ledger is out of reach.
LEDGER_PATIENCE = 60.0
LEDGER_GATE = "the ledger is out of reach"
PAUSE_GATE = "paused; 'polly-bulk continue' goes on"


class Recorder:
    """Commits for one run. While the ledger is away, no write passes the gate.

    After ``LEDGER_PATIENCE`` seconds the run stops and ``LedgerUnavailable`` is raised; what was
    sent and not recorded is settled by the next execution.
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: RunId,
        options: RunOptions,
        *,
        gate: Gate,
        stop: StopSignal,
        limiter: Limiter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.run_id = run_id
        self._options = options
        self._gate = gate
        self._stop = stop
        self._limiter = limiter
        self._clock = clock
        self._control = Control()
        self.counts = Counts()

    def call(self, statement: Callable[[], T]) -> T:
        """Run a statement that is safe to run again, waiting for a ledger that is away."""
        deadline: float | None = None
        while True:
            try:
                result = statement()
            except LedgerUnavailable as error:
                self._gate.close(LEDGER_GATE)
                deadline = deadline or self._clock() + LEDGER_PATIENCE
                log.warning("run %s: %s; writes are held", self.run_id, error)
                if self._clock() >= deadline:
                    self._stop.set(StopReason.CANNOT_PROCEED, str(error))
                    raise
                time.sleep(min(1.0, max(0.0, deadline - self._clock())))
            else:
                if deadline is not None:
                    self._gate.open(LEDGER_GATE)
                return result

    def commit(self, claim: Claim, batch: Batch) -> Standing:
        """One transaction for a shard, then budget and control."""
        standing = self.call(lambda: self.ledger.commit(claim, batch))
        self.judge(standing)
        return standing

    def judge(self, standing: Standing) -> None:
        """Do what somebody asked of the run; stop it when a budget is used up."""
        self.counts = standing.counts
        if standing.control != self._control:
            self._obey(standing.control)
        used_up = self._options.used_up(standing.counts)
        if used_up:
            self._stop.set(StopReason.BUDGET, used_up)

    def _obey(self, control: Control) -> None:
        self._control = control
        if control.wanted is Wanted.CANCEL:
            self._stop.set(StopReason.CANCELLED, "cancelled through the ledger")
        elif control.wanted is Wanted.PAUSE:
            log.info("run %s: paused", self.run_id)
            self._gate.close(PAUSE_GATE)
        else:
            self._gate.open(PAUSE_GATE)
        if self._limiter is not None:
            self._limiter.set_ceiling(control.concurrency or self._options.concurrency)
