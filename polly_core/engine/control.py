"""Control of a running run from any process that reaches its ledger."""

import logging
import threading
from collections.abc import Callable

from polly_core.engine.execution import living_executions
from polly_core.engine.recorder import Recorder
from polly_core.errors import CannotProceed, LedgerError
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Control, Wanted
from polly_core.models.catalog import RunId

log = logging.getLogger(__name__)

# Stopping promises that no new write is sent after three seconds, also while nothing is committed.
WATCH_SECONDS = 1.0


class RunControl:
    """What an operator can ask of a run that some process executes.

    It is heard within ``WATCH_SECONDS``. Every method raises ``CannotProceed`` where no process
    executes the run, so that nobody would hear it.
    """

    def __init__(self, ledger: Ledger, run_id: RunId) -> None:
        self._ledger = ledger
        self._run_id = run_id

    def pause(self) -> None:
        """No new write until ``go_on``; what is in flight ends and is recorded. Leases stay."""
        self._want(Wanted.PAUSE)

    def go_on(self) -> None:
        """Take back ``pause``."""
        self._want(Wanted.RUN)

    def cancel(self) -> None:
        """No new write; what is in flight ends and is recorded; the run stays resumable."""
        self._want(Wanted.CANCEL)

    def throttle(self, concurrency: int) -> int:
        """Allow so many requests in flight, at most as many as the run was started with; the
        number that is allowed then."""
        self._must_run()
        allowed = min(concurrency, self._ledger.run(self._run_id).options.concurrency)
        current = self._ledger.control(self._run_id)
        self._ledger.set_control(self._run_id, current.model_copy(update={"concurrency": allowed}))
        return allowed

    def _want(self, wanted: Wanted) -> None:
        self._must_run()
        current = self._ledger.control(self._run_id)
        self._ledger.set_control(self._run_id, current.model_copy(update={"wanted": wanted}))

    def _must_run(self) -> None:
        if not living_executions(self._ledger, self._run_id):
            raise CannotProceed(
                f"run {self._run_id} is not being executed by any process; "
                f"polly-bulk show {self._run_id} says how it stands"
            )


def reset(ledger: Ledger, run_id: RunId) -> None:
    """What was asked of an earlier execution does not count for a new one."""
    if ledger.control(run_id) != Control():
        ledger.set_control(run_id, Control())


class ControlWatch:
    """Looks at what is asked of a run while its process works, in a thread of its own."""

    def __init__(
        self, recorder: Recorder, look: Callable[[], None], *, seconds: float = WATCH_SECONDS
    ) -> None:
        self._recorder = recorder
        self._look = look
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="polly-control", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _watch(self) -> None:
        recorder = self._recorder
        while not self._ended.wait(self._seconds):
            try:
                recorder.judge(recorder.ledger.standing(recorder.run_id))
            except LedgerError as error:
                log.debug("run %s: its control could not be read: %s", recorder.run_id, error)
            self._look()
