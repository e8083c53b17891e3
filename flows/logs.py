"""Keeps what the core logs with the flow run, also what its own threads log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging.handlers import APILogHandler

CORE = ("polly_core", "flows")


class _OfRun(logging.Filter):
    """Names the flow run on records of threads that know nothing of Prefect."""

    def __init__(self, flow_run_id: str) -> None:
        super().__init__()
        self._flow_run_id = flow_run_id

    def filter(self, record: logging.LogRecord) -> bool:
        record.flow_run_id = self._flow_run_id
        return True


@contextmanager
def kept_with(flow_run_id: str) -> Iterator[None]:
    """Send the core's records to Prefect as logs of this flow run.

    Where PREFECT_LOGGING_EXTRA_LOGGERS names the core, Prefect's handler is there already; it only
    learns the flow run's id then, and nothing is sent twice.
    """
    mark = _OfRun(flow_run_id)
    undo: list[tuple[logging.Logger, APILogHandler, bool, int]] = []
    for name in CORE:
        logger = logging.getLogger(name)
        present = [found for found in logger.handlers if isinstance(found, APILogHandler)]
        handler = present[0] if present else APILogHandler()
        handler.addFilter(mark)
        undo.append((logger, handler, not present, logger.level))
        if not present:
            logger.addHandler(handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, handler, ours, level in undo:
            handler.removeFilter(mark)
            logger.setLevel(level)
            if ours:
                logger.removeHandler(handler)
