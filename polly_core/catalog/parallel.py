"""The same function over many items in a few threads; every result and every error is kept.

Bulk work belongs to the engine, with a plan and a ledger. This is for reads, and for the short
scripts that the tutorial shows.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from polly_core.errors import InvalidInput

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Failure(Generic[ItemT]):
    """An item and what went wrong with it."""

    item: ItemT
    error: Exception


@dataclass(frozen=True, slots=True)
class Report(Generic[ItemT, ResultT]):
    """What came of each item, in the order of the items."""

    results: list[tuple[ItemT, ResultT]]
    failures: list[Failure[ItemT]]

    @property
    def total(self) -> int:
        return len(self.results) + len(self.failures)


class _Work(Generic[ItemT, ResultT]):
    """Items that wait, and what came of those that do not any more."""

    def __init__(self, items: Iterable[ItemT], fn: Callable[[ItemT], ResultT]) -> None:
        self._items: Iterator[tuple[int, ItemT]] = enumerate(items)
        self._fn = fn
        self._lock = threading.Lock()
        self._results: dict[int, tuple[ItemT, ResultT]] = {}
        self._failures: dict[int, Failure[ItemT]] = {}
        self._broken: BaseException | None = None

    def run(self, on_done: Callable[[int, int], None]) -> None:
        """Take items until there are none, or until something stops everybody."""
        while (taken := self._take()) is not None:
            number, item = taken
            try:
                result = self._fn(item)
            except Exception as error:  # noqa: BLE001 - the boundary of an item
                with self._lock:
                    self._failures[number] = Failure(item, error)
            except BaseException as error:  # noqa: BLE001 - report() raises it where it is wanted
                self.stop(error)
                return
            else:
                with self._lock:
                    self._results[number] = (item, result)
            with self._lock:
                on_done(len(self._results) + len(self._failures), len(self._failures))

    def stop(self, error: BaseException) -> None:
        """No further item is begun."""
        with self._lock:
            self._broken = self._broken or error

    def report(self) -> Report[ItemT, ResultT]:
        if self._broken is not None:
            raise self._broken
        return Report(
            [self._results[number] for number in sorted(self._results)],
            [self._failures[number] for number in sorted(self._failures)],
        )

    def _take(self) -> tuple[int, ItemT] | None:
        with self._lock:
            if self._broken is not None:
                return None
            try:
                return next(self._items, None)
            except Exception as error:  # noqa: BLE001 - the caller's iterable, told by report()
                self._broken = error
                return None


def run_parallel(
    items: Iterable[ItemT],
    fn: Callable[[ItemT], ResultT],
    *,
    max_workers: int,
    on_done: Callable[[int, int], None] = lambda _done, _failed: None,
) -> Report[ItemT, ResultT]:
    """Call ``fn`` for each item; an item that fails keeps no other from its turn.

    Items are taken from the iterable as threads become free. ``on_done`` hears, one thread at a
    time, how many items are done and how many of them failed. On an interruption no further item
    is begun, those under way are waited for, and the interruption goes on.

    Raises:
        InvalidInput: ``max_workers`` is below 1.
    """
    if max_workers < 1:
        raise InvalidInput(f"expected at least one worker, found max_workers={max_workers}")
    work = _Work(items, fn)
    threads = [
        threading.Thread(target=work.run, args=(on_done,), name=f"parallel-{number}", daemon=True)
        for number in range(max_workers)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException as error:
        work.stop(error)
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        raise
    return work.report()
