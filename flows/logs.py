"""Keeps what the core logs with the flow run, also what the core's own threads log."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context

from prefect.context import FlowRunContext
from prefect.exceptions import CancelledRun, FailedRun
from prefect.logging.handlers import APILogHandler

from polly_core.errors import PollyError

CORE = ("polly_core", "flows")
RUN_LOGS = ("prefect.flow_runs", "prefect.task_runs")
_LEFT = "Engine execution exited with unexpected exception"


class RunLogHandler(APILogHandler):
    """Sends records to the flow run it was made in, whichever thread they come from.

    PREFECT_LOGGING_EXTRA_LOGGERS alone loses them: the engine's threads know nothing of Prefect's
    context, neither of the run nor of which server is meant.
    """

    def __init__(self) -> None:
        super().__init__(level=logging.INFO)
        self._context = copy_context()

    def emit(self, record: logging.LogRecord) -> None:
        if FlowRunContext.get() is not None:
            super().emit(record)
        else:
            # One context cannot be entered by two threads at once.
            self._context.copy().run(super().emit, record)


class WithoutTraces(logging.Filter):
    """Takes the traceback off what Prefect logs of an error that is ours, and told in words.

    In a worker's process Prefect reads the flow run's final state at the very end, and logs as an
    accident that a Failed or Cancelled one raises: that record goes altogether.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if record.msg == _LEFT and _is_final_state(error):
            return False
        if isinstance(error, PollyError):
            record.exc_info = None
        return True


def _is_final_state(error: BaseException | None) -> bool:
    """Whether reading a final state raised this: what it holds is the error, or a summary."""
    if isinstance(error, TypeError):
        return str(error).startswith("Unexpected result for failed state")
    return isinstance(error, PollyError | FailedRun | CancelledRun)


def told_without_traces() -> None:
    """From here on, in this process: also once the flow has returned."""
    for name in RUN_LOGS:
        logger = logging.getLogger(name)
        if not any(isinstance(found, WithoutTraces) for found in logger.filters):
            logger.addFilter(WithoutTraces())


@contextmanager
def kept_with_run() -> Iterator[None]:
    """Within a flow: what the core logs from INFO on is stored with the flow run."""
    handler = RunLogHandler()
    with ExitStack() as undo:
        for name in CORE:
            logger = logging.getLogger(name)
            undo.callback(logger.setLevel, logger.level)
            for other in list(logger.handlers):
                # What PREFECT_LOGGING_EXTRA_LOGGERS put there would send a second copy.
                if isinstance(other, APILogHandler):
                    logger.removeHandler(other)
                    undo.callback(logger.addHandler, other)
            logger.addHandler(handler)
            undo.callback(logger.removeHandler, handler)
            if logger.getEffectiveLevel() > logging.INFO:
                logger.setLevel(logging.INFO)
        yield
