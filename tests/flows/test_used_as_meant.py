"""Known misuses of Prefect, looked for in the syntax trees of everything that uses it."""

import ast
from pathlib import Path

import pytest
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from flows.bulk_update import bulk_update
from flows.skeleton import require_server
from polly_core.errors import CannotProceed
from tasks.prepare import plan, select
from tasks.update import update_shard

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for room in ("tasks", "flows", "deployments") for path in (ROOT / room).glob("*.py")
)
# Slow through the thread pool, not delivered after a restart, or eating a flow's retry.
MISUSED_METHODS = {"map", "delay", "set_flow_run_state", "pause_flow_run"}


MEANT = {
    # A flow run waits in a state of ours, and has no retries that it could eat.
    "flows/approval.py": {"use of .set_flow_run_state", "a Running state set by hand eats a retry"},
    # They ask another run to cancel itself.
    "deployments/following.py": {"use of .set_flow_run_state"},
    "flows/children.py": {"use of .set_flow_run_state"},
}


def misuses(source: str, *, makes_tasks: bool = False) -> list[str]:
    """What is wrong in a module. ``makes_tasks`` is true of tasks/base.py only."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in {"prefect", "prefect.tasks"}:
            names = {alias.name for alias in node.names}
            if "task" in names and not makes_tasks:
                found.append("a task is made past tasks/base.py")
        if isinstance(node, ast.Attribute) and node.attr in MISUSED_METHODS:
            found.append(f"use of .{node.attr}")
        if isinstance(node, ast.AsyncFunctionDef):
            found.append("an async task or flow is many times slower in a thread pool")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = {keyword.arg for keyword in node.keywords}
            if node.func.id == "concurrency" and not {"strict", "lease_duration"} <= given:
                found.append("a limit that may silently not exist, or stay taken for minutes")
            if node.func.id == "ThreadPoolTaskRunner" and "max_workers" not in given:
                found.append("as many threads as there are tasks")
            if node.func.id == "Running":
                found.append("a Running state set by hand eats a retry")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_prefect_is_used_as_meant(path: Path) -> None:
    found = misuses(path.read_text(), makes_tasks=path == ROOT / "tasks" / "base.py")
    assert set(found) == MEANT.get(str(path.relative_to(ROOT)), set())


@pytest.mark.parametrize(
    "source",
    [
        "from prefect import flow, task",
        "futures = shard.map(range(3))",
        "async def shard(): ...",
        "concurrency('polly-api', occupy=3)",
        "runner = ThreadPoolTaskRunner()",
        "state = Running(message='x')",
    ],
)
def test_the_misuses_are_seen(source: str) -> None:
    assert misuses(source)


@pytest.mark.parametrize("made", [select, plan, update_shard])
def test_tasks_are_never_cached_and_repeated_for_infrastructure_only(made: Task[..., None]) -> None:
    assert made.cache_policy == NO_CACHE
    assert made.persist_result is False
    assert made.retries == 2
    assert made.retry_condition_fn is not None
    assert not made.isasync


def test_the_flow_keeps_its_summary_and_is_not_repeated_by_itself() -> None:
    flow = bulk_update
    assert flow.retries == 0
    assert flow.persist_result is True
    assert flow.result_serializer == "json"
    assert isinstance(flow.task_runner, ThreadPoolTaskRunner)
    assert flow.task_runner._max_workers == 2


def test_a_temporary_server_is_no_place_for_a_run() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        require_server()
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(CannotProceed, match="polly-bulk prefect start"),
    ):
        require_server()
