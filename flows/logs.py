"""Keeps what the core logs with the flow run, also what the core's own threads log."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context

from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler

CORE = ("polly_core", "flows")


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
