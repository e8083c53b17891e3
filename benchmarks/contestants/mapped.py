"""One Prefect task per dataset, on threads; the task's body is the bare requests."""

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from benchmarks.contestants.contest import Contest, contest_of_argv, measured
from benchmarks.contestants.requests_only import Requests


def main() -> None:
    """Map the task over the listing."""
    contest = contest_of_argv()
    with measured():
        update_all(contest)


def update_all(contest: Contest) -> None:
    """Run the flow that an author would write first."""
    requests = Requests(contest)

    @task(cache_policy=NO_CACHE, persist_result=False)
    def update(dataset: tuple[str, str, str]) -> None:
        requests.update(*dataset)

    @flow(
        name="one-task-per-dataset",
        task_runner=ThreadPoolTaskRunner(max_workers=contest.concurrency),  # type: ignore[arg-type]
    )
    def mapped() -> None:
        update.map(list(requests.list())).wait()

    mapped()


if __name__ == "__main__":
    main()
