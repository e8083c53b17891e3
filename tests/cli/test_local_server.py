"""The local Prefect server: found or started, one only, detached, and complete when it stops."""

import asyncio
import itertools
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events.worker import EventsWorker

from cli.local_server import LocalServer, record_of, server_environment, write_record
from cli.local_server_process import DrainedFirst, Message
from cli.main import program
from polly_core.errors import CannotProceed
from tests.support.prefect import PrefectServer, task_runs_of

pytestmark = pytest.mark.timeout(300)


@task(cache_policy=NO_CACHE, persist_result=False)
def nothing(number: int) -> int:
    return number


@flow
def many(count: int) -> None:
    futures = [nothing.submit(number) for number in range(count)]
    for future in futures:
        future.wait()


def run_program(home: Path, *arguments: str) -> Result:
    return CliRunner(env={"POLLY_HOME": str(home)}).invoke(
        program, ["prefect", *arguments], standalone_mode=False, catch_exceptions=False
    )


def test_commands_find_stop_and_start_one_server(prefect_server: PrefectServer) -> None:
    """Stopped it is gone and nothing of it is lost; started again it has the same address."""
    home = prefect_server.home
    first = json.loads(run_program(home, "start", "--output", "json").stdout)
    # Asked by others at the same time.
    with ThreadPoolExecutor(3) as pool:
        urls = list(pool.map(lambda _: LocalServer(home).ensure(), range(3)))
    assert set(urls) == {first["api_url"]}
    assert json.loads(run_program(home, "status", "--output", "json").stdout) == first
    # It belongs to nobody: a session of its own, and not our child.
    assert os.getsid(first["pid"]) == first["pid"]
    with pytest.raises(ChildProcessError):
        os.waitpid(first["pid"], os.WNOHANG)

    stopped = run_program(home, "stop", "--output", "json")
    assert stopped.return_value == 0
    assert json.loads(stopped.stdout)["running"] is False
    assert "not running" in run_program(home, "stop").stderr
    assert run_program(home, "status").return_value == 3

    again = json.loads(run_program(home, "start", "--output", "json").stdout)
    assert again["api_url"] == first["api_url"]
    assert again["pid"] != first["pid"]


def test_everything_it_recorded_is_there_after_a_stop(prefect_server: PrefectServer) -> None:
    """More task runs than it writes down in a moment are told, then it is stopped at once."""
    count = 150
    with prefect_server.in_use():
        state = many(count, return_state=True)
        EventsWorker.drain_all()
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    assert prefect_server.local.stop()
    prefect_server.local.ensure()
    with prefect_server.in_use() as client:
        assert client.read_flow_run(run_id).state_name == "Completed"
        recorded = {run.id: run.state_name for run in task_runs_of(client, run_id)}
    assert len(recorded) == count
    assert set(recorded.values()) == {"Completed"}


def test_a_server_that_dies_while_it_starts_says_why(tmp_path: Path) -> None:
    """Its database cannot be opened; the error has its last words and the path of its log."""
    server = LocalServer(tmp_path)
    (server.prefect_home / "prefect.db").mkdir(parents=True)
    with pytest.raises(CannotProceed, match="ended while it started") as raised:
        server.ensure()
    assert "unable to open database file" in str(raised.value)
    assert str(server.log) in str(raised.value)
    assert not server.status().running


def test_a_start_that_takes_too_long_is_given_up_with_a_next_step(tmp_path: Path) -> None:
    """The process stays, to be found by the next start, or to be stopped."""
    hurried = itertools.count(0.0, 1000.0)
    with pytest.raises(CannotProceed, match="did not answer on port") as raised:
        LocalServer(tmp_path, clock=lambda: next(hurried)).ensure()
    assert "polly-bulk prefect stop" in str(raised.value)
    assert LocalServer(tmp_path).stop()


def test_a_recycled_process_id_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """The process recorded is alive but started at another time: it is left alone."""
    server = LocalServer(tmp_path)
    server.folder.mkdir(parents=True)
    mine = record_of(os.getpid(), 1, server.version)
    write_record(server.folder / "server.json", mine.model_copy(update={"started": "17"}))
    assert not server.status().running
    assert not server.stop()


def test_another_version_of_prefect_is_not_used(tmp_path: Path) -> None:
    server = LocalServer(tmp_path)
    server.folder.mkdir(parents=True)
    write_record(server.folder / "server.json", record_of(os.getpid(), 1, "2.0.0"))
    with pytest.raises(CannotProceed, match=r"runs Prefect 2\.0\.0"):
        server.ensure()


def test_a_record_that_is_no_json_counts_as_none(tmp_path: Path) -> None:
    server = LocalServer(tmp_path)
    server.folder.mkdir(parents=True)
    (server.folder / "server.json").write_text("half a rec")
    assert not server.status().running


def test_the_servers_environment_holds_no_secret_and_no_foreign_setting() -> None:
    environ = {"POLLY_API_KEY": "secret", "PREFECT_API_URL": "http://x", "PATH": "/bin"}
    made = server_environment(environ, Path("/home/p"), 4711)
    assert made["PATH"] == "/bin"
    assert made["PREFECT_HOME"] == "/home/p"
    assert made["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert made["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith("filesystem")
    assert "POLLY_API_KEY" not in made
    assert "PREFECT_API_URL" not in made


def backlogs(*sizes: int) -> Iterator[int]:
    """What a queue has left each time it is asked; the last for ever."""
    yield from sizes
    while True:
        yield sizes[-1]


@pytest.mark.parametrize(
    ("sizes", "asked"), [((0,), 1), ((3, 2, 1, 0), 4), ((5, 5), 4), ((9, 8, 7, 6, 5, 4, 3), 6)]
)
def test_shutdown_waits_for_the_backlog_within_bounds(sizes: tuple[int, ...], asked: int) -> None:
    """Empty at once, emptied, stuck for three steps, and too long for five steps."""
    looks = 0
    queue = backlogs(*sizes)

    def backlog() -> int:
        nonlocal looks
        looks += 1
        return next(queue)

    seen: list[Message] = []

    async def application(_scope: Message, receive: object, _send: object) -> None:
        assert callable(receive)
        seen.append(await receive())

    async def receive() -> Message:
        return {"type": "lifespan.shutdown"}

    async def send(_message: Message) -> None: ...

    drained = DrainedFirst(application, backlog, limit=0.05, stuck=0.03, step=0.01)
    asyncio.run(drained({"type": "lifespan"}, receive, send))
    assert looks == asked
    assert seen == [{"type": "lifespan.shutdown"}]
