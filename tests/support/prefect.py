"""A real Prefect server for tests, and what reads its records back."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, Log, TaskRun
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

from cli.local_server import LocalServer

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


@dataclass(frozen=True)
class PrefectServer:
    """The local server of one test session, with the settings of a client beside it."""

    home: Path
    local: LocalServer
    api_url: str

    @property
    def client_home(self) -> Path:
        return self.home / "client"

    @contextmanager
    def in_use(self) -> Iterator[SyncPrefectClient]:
        """Flows of this process are recorded there; gives a client."""
        settings = {
            PREFECT_API_URL: self.api_url,
            PREFECT_HOME: self.client_home,
            PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
            # Saves a second per flow run; an environment variable cannot say None.
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        }
        with temporary_settings(settings), get_client(sync_client=True) as client:
            yield client

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """For processes that use it: none of the caller's own Prefect settings."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "POLLY_"))}
        return own | {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_HOME": str(self.client_home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PWD": str(ROOT),
            **(extra or {}),
        }

    def prefect(self, *arguments: str, extra: Mapping[str, str] | None = None) -> str:
        """Run Prefect's own command line; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=ROOT,
            env=self.environment(extra),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def worker(
        self, pool: str, extra: Mapping[str, str], log: Path, *, limit: int | None = None
    ) -> Iterator[None]:
        """A real worker process on a work pool; stopped at the end with what it started."""
        # It passes SIGTERM on as SIGINT, which a shell's background jobs ignore, and so would it.
        restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        program = f"{restore}from prefect.cli import app; app()"
        command = [sys.executable, "-c", program, "worker", "start", "--pool", pool]
        if limit is not None:
            command += ["--limit", str(limit)]
        quick = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
        with ExitStack() as stack:
            output = stack.enter_context(log.open("ab"))
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment({**quick, **extra}),
                stdout=output,
                stderr=output,
            )
            try:
                yield
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)


@contextmanager
def running_prefect(home: Path) -> Iterator[PrefectServer]:
    """Start the project's own local server in a folder of the test's, and stop it."""
    local = LocalServer(home)
    try:
        yield PrefectServer(home=home, local=local, api_url=local.ensure())
    finally:
        local.stop()


def eventually(look: Callable[[], T | None], *, seconds: float = 60.0, what: str = "it") -> T:
    """What ``look`` finds, asked until it finds something that is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.2)
    return found


def artifacts_of(client: SyncPrefectClient, run_id: UUID) -> dict[str, Artifact]:
    """The flow run's own artifacts, by key."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    found = client.read_artifacts(artifact_filter=mine)
    return {artifact.key: artifact for artifact in found if artifact.key}


def task_runs_of(client: SyncPrefectClient, run_id: UUID) -> list[TaskRun]:
    """Every one; they are recorded some time after they happened."""
    mine = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run_id]))
    found: list[TaskRun] = []
    while page := client.read_task_runs(task_run_filter=mine, offset=len(found), limit=200):
        found += page
    return found


def logs_of(client: SyncPrefectClient, run_id: UUID) -> list[Log]:
    """Sent every few seconds."""
    return client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])))


def ended(client: SyncPrefectClient, run_id: UUID, *, seconds: float = 200.0) -> FlowRun:
    """The flow run once it is in a final state."""

    def look() -> FlowRun | None:
        run = client.read_flow_run(run_id)
        return run if run.state is not None and run.state.is_final() else None

    return eventually(look, seconds=seconds, what=f"the end of flow run {run_id}")
