"""The limit: the same requests at the same concurrency, with nothing else done."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from benchmarks.contestants.contest import contest_of_argv, measured
from benchmarks.contestants.requests_only import Requests


def main() -> None:
    """List everything, then as many workers as the contest allows take the next until none."""
    contest = contest_of_argv()
    with measured():
        requests = Requests(contest)
        todo = _Shared(iter(list(requests.list())))

        def work() -> None:
            for each in todo:
                requests.update(*each)

        with ThreadPoolExecutor(contest.concurrency) as pool:
            for future in [pool.submit(work) for _ in range(contest.concurrency)]:
                future.result()


class _Shared:
    """An iterator that threads may share."""

    def __init__(self, items: Iterator[tuple[str, str, str]]) -> None:
        self._items = items
        self._lock = Lock()

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return self

    def __next__(self) -> tuple[str, str, str]:
        with self._lock:
            return next(self._items)


if __name__ == "__main__":
    main()
