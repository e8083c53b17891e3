"""The tutorial's helper for short scripts; bulk work with a plan and a record is the engine's."""

import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, TypeVar

from polly_core.catalog.parallel import Failure, Report, run_parallel
from polly_core.errors import InvalidInput, PollyError

__all__ = ["Failure", "FailureLimitError", "Report", "for_each_threaded"]

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_SHOWN = 3


class FailureLimitError(PollyError):
    """More items failed than were allowed. Every item had its turn.

    Attributes:
        report: results and failures of all items.
    """

    def __init__(self, message: str, report: Report[Any, Any]) -> None:
        super().__init__(message, report)
        self.report = report

    def __str__(self) -> str:
        return str(self.args[0])


def for_each_threaded(
    items: Iterable[ItemT],
    fn: Callable[[ItemT], ResultT],
    max_workers: int = 10,
    max_error_perc: float = 0,
    verbose: bool = False,
) -> Report[ItemT, ResultT]:
    """
    Runs 'fn' for each of the 'items' in multiple threads

    Every item has its turn, whatever happens to others. Items are taken as threads become free.

    Args:
        items: anything that can be iterated over
        fn: called once per item
        max_workers: number of threads
        max_error_perc: which share of the items may fail: up to 1 a fraction (0.1 is one in
            ten), above that a percentage
        verbose: show progress on stderr

    Returns:
        A report: `results`, pairs of item and result, and `failures`, pairs of item and error,
        both in the order of the items.

    Raises:
        FailureLimitError: more failed than allowed; it carries the same report.
    """
    if not 0 <= max_error_perc <= 100:
        raise InvalidInput(f"expected max_error_perc between 0 and 100, found {max_error_perc}")
    share = max_error_perc if max_error_perc <= 1 else max_error_perc / 100
    progress = _Progress(sys.stderr) if verbose else _silent
    report = run_parallel(items, fn, max_workers=max_workers, on_done=progress)
    if verbose:
        sys.stderr.write("\n")
    for failure in report.failures:
        logger.error("failed for %r", failure.item, exc_info=failure.error)
    if report.total and len(report.failures) / report.total > share:
        shown = "; ".join(f"{f.item!r}: {f.error!r}" for f in report.failures[:_SHOWN])
        raise FailureLimitError(
            f"{len(report.failures)} of {report.total} items failed ({shown}"
            f"{'; …' if len(report.failures) > _SHOWN else ''}); the others are done. "
            "See .report.failures and .report.results",
            report,
        )
    return report


def _silent(_done: int, _failed: int) -> None:
    pass


class _Progress:
    """One line that is written over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, done: int, failed: int) -> None:
        self._stream.write(f"\r{done} done, {failed} failed")
        self._stream.flush()
