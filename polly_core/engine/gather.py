"""Runs a function over a bounded list on the pool and waits for all of it."""

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

from polly_core.engine.pool import Kind, Pool

A = TypeVar("A")
B = TypeVar("B")


def gather(pool: Pool, kind: Kind, function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Results in the order of the items.

    Raises:
        BaseException: the first error, by position, after every item was tried.
    """
    answers: SimpleQueue[tuple[int, B | None, BaseException | None]] = SimpleQueue()

    def job(position: int) -> None:
        try:
            answers.put((position, function(items[position]), None))
        except BaseException as error:  # noqa: BLE001 - carried to the caller and raised there
            answers.put((position, None, error))

    for position in range(len(items)):
        pool.submit(kind, lambda position=position: job(position))  # type: ignore[misc]
    results = sorted((answers.get() for _ in items), key=lambda answer: answer[0])
    for _, _, error in results:
        if error is not None:
            raise error
    return [result for _, result, _ in results]  # type: ignore[misc]
