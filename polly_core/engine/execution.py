"""One process executing a run, as the ledger knows it."""

import logging

from polly_core.engine.heartbeat import Heartbeat
from polly_core.engine.process import is_gone, this_process
from polly_core.engine.stop import StopSignal
from polly_core.errors import LedgerUnavailable
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ExecutionRow
from polly_core.models.catalog import RunId
from polly_core.models.run import ExecutionId

log = logging.getLogger(__name__)

# Beyond the request's time-outs: clocks, scheduling, a renewal that is just under way.
LEASE_MARGIN = 30.0


def living_executions(ledger: Ledger, run_id: RunId) -> list[ExecutionRow]:
    """Executions that are under way; one whose process is gone from this host need not expire."""
    found = ledger.executions(run_id, living=True)
    return [one for one in found if not is_gone(one.process)]


def bury_the_dead(ledger: Ledger, run_id: RunId) -> bool:
    """End a run's executions whose process is gone from this host; whether there were any."""
    dead = [one for one in ledger.executions(run_id, living=True) if is_gone(one.process)]
    for execution in dead:
        ledger.declare_dead(execution.execution_id)
    return bool(dead)


class Execution:
    """Begun at once, renewed in the background, ended by ``close``.

    Args:
        request_seconds: the longest a request may take; a lease outlives two of them.
    """

    def __init__(
        self, ledger: Ledger, run_id: RunId, *, request_seconds: float, stop: StopSignal
    ) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._request_seconds = request_seconds
        lease_seconds = 2 * request_seconds + 2 * LEASE_MARGIN
        self.bury_the_dead()
        self.execution_id: ExecutionId = ledger.begin_execution(
            run_id, process=this_process(), lease_seconds=lease_seconds
        )
        self._heartbeat = Heartbeat(ledger, self.execution_id, lease_seconds, stop)
        self._heartbeat.start()

    def covers_a_request(self) -> bool:
        """Whether the leases outlive a request that is sent now."""
        return self._heartbeat.outlives(self._request_seconds)

    def is_first(self) -> bool:
        """Whether no living execution of the run began before this one."""
        self.bury_the_dead()
        living = self._ledger.executions(self._run_id, living=True)
        return not living or living[0].execution_id == self.execution_id

    def bury_the_dead(self) -> None:
        """Executions of the run whose process is gone from this host need not expire first."""
        bury_the_dead(self._ledger, self._run_id)

    def close(self) -> None:
        """Free what it owns and add its time to the run's.

        Where the ledger is away, it expires instead.
        """
        self._heartbeat.close()
        try:
            self._ledger.end_execution(self.execution_id)
        except LedgerUnavailable as error:
            log.warning("run %s: the execution could not be ended: %s", self._run_id, error)
