"""The automation that marks runs whose process is gone: it fires, and only then."""

import fnmatch
import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient

from deployments.standing import BEATS, DEAD_RUNS, OUR_FLOWS, dead_runs
from tests.support.prefect import ROOT, PrefectServer, ended, eventually

pytestmark = pytest.mark.timeout(240)

# The shortest that Prefect's automations wait is ten seconds.
QUIET_SECONDS = 4 * BEATS
PROBE = """
import sys, time
from prefect import flow, runtime
@flow(name=sys.argv[1])
def probe():
    print(runtime.flow_run.id, flush=True)
    time.sleep(float(sys.argv[2]))
probe()
"""


@contextmanager
def probe(server: PrefectServer, name: str, seconds: float) -> Iterator[UUID]:
    """A flow run in a process of its own, killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROBE, name, str(seconds)],
        cwd=ROOT,
        env=server.environment({"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield UUID(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_server.in_use() as found:
        for old in found.read_automations_by_name(DEAD_RUNS):
            found.delete_automation(old.id)
        made = found.create_automation(dead_runs(QUIET_SECONDS // BEATS))
        yield found
        found.delete_automation(made)


def test_a_killed_process_is_noticed_and_others_are_left_alone(
    prefect_server: PrefectServer, client: SyncPrefectClient
) -> None:
    """Ours that was killed crashes; ours that had ended and somebody else's stay as they are."""
    with probe(prefect_server, "bulk-probe", 0) as well:
        assert ended(client, well).state_name == "Completed"
    with probe(prefect_server, "others", 300) as foreign:
        heard_of(prefect_server, foreign)
    with probe(prefect_server, "bulk-probe", 300) as killed:
        heard_of(prefect_server, killed)
    run = ended(client, killed, seconds=90)
    assert run.state_name == "Crashed"
    assert run.state is not None
    assert f"not heard of for {QUIET_SECONDS} s" in str(run.state.message)
    assert client.read_flow_run(foreign).state_name == "Running"
    assert client.read_flow_run(well).state_name == "Completed"


def heard_of(server: PrefectServer, run_id: UUID) -> None:
    """Return when a beat of the run's heart has reached the server."""
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run_id}"]},
    }
    eventually(
        lambda: httpx.post(f"{server.api_url}/events/filter", json={"filter": wanted}).json()[
            "events"
        ],
        what="a heartbeat",
    )


def test_every_deployed_flow_is_watched() -> None:
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert declared
    for deployment in declared:
        path, _, name = deployment["entrypoint"].partition(":")
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        assert fnmatch.fnmatch(getattr(module, name).name, OUR_FLOWS)
        environment = deployment["work_pool"]["job_variables"]["env"]
        assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
