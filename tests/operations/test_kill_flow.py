"""Flows killed about the last point: the report is written, Prefect's state is or is not set."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags

from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName
from tests.operations.scenarios import ATTACH, CREATE, DELETE, Scenario
from tests.operations.sites import RealSite, real_site
from tests.support.atlas import REPOSITORY, RunningAtlas
from tests.support.prefect import PrefectServer

pytestmark = pytest.mark.timeout(240)

# The flow in a process of its own, which dies before or after it has told Prefect its state.
_PROGRAM = """
import json, os, signal, sys
import flows.skeleton
from flows.catalogue import bulk_of
from flows.running import run_here
from polly_core.models.run import ItemState, OperationName

def die(*_given):
    os.kill(os.getpid(), signal.SIGKILL)

when, operation, given = sys.argv[1:]
if when == "before":
    flows.skeleton.final_state = die
bulk = bulk_of(OperationName(operation))
run_here(bulk.flow, bulk.parameters(json.loads(given)))
if when == "after":
    die()
"""


@pytest.fixture
def site(atlas: RunningAtlas, tmp_path: Path) -> Iterator[RealSite]:
    with real_site(atlas, tmp_path / "site") as site:
        yield site


def _flow(
    site: RealSite, server: PrefectServer, operation: OperationName, when: str, given: JsonObject
) -> int:
    """The exit code of the process that runs the flow."""
    own = {
        "POLLY_HOME": str(site.folder),
        "POLLY_LEDGER_URL": site.rig.ledger_url,
        "POLLY_API_URL": site.rig.server.api_url,
        "POLLY_API_KEY": site.rig.server.api_key,
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, when, operation.value, json.dumps(given)],
        cwd=REPOSITORY,
        env=server.environment(own),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr[-3000:]
    return done.returncode


def _states(server: PrefectServer, run_id: str) -> list[str]:
    """Of the flow runs of a run, by the time they began."""
    tags = FlowRunFilterTags(all_=[f"ingestion_run_id:{run_id}"])
    with server.in_use() as client:
        found = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags))
    began = {one.start_time: one.state_type for one in found if one.start_time}
    return [str(state and state.value) for _, state in sorted(began.items())]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(CREATE, id="create"),
        pytest.param(DELETE, id="delete"),
        pytest.param(ATTACH, id="attach", marks=pytest.mark.soak),
    ],
)
def test_killed_about_its_state_and_run_again(
    site: RealSite, prefect_server: PrefectServer, scenario: Scenario, when: str
) -> None:
    request = scenario.request(site)
    selection = request.selection
    run: JsonObject = {"run_id": request.run_id, "verify": "full", "yes": True}
    given: JsonObject = {"atlas_id": site.rig.atlas_id, "run": run, **(request.change or {})}
    if selection.manifest_uri:
        given["manifest_uri"] = selection.manifest_uri
    else:
        given["selection"] = {"ids": list(selection.ids or ())}
    assert _flow(site, prefect_server, scenario.operation, when, given) == -signal.SIGKILL
    came = site.came(request)
    ended = len([row for row in site.rig.items(request) if row.state is ItemState.APPLIED])
    assert ended == scenario.ended[ItemState.APPLIED]
    told = _states(prefect_server, request.run_id)
    assert told == (["RUNNING"] if when == "before" else [_final(scenario)])

    again: JsonObject = {"run": {"run_id": request.run_id}}
    assert _flow(site, prefect_server, scenario.operation, "never", again) == 0
    assert site.came(request) == came, "nothing was left to be written"
    assert _states(prefect_server, request.run_id)[-1] == _final(scenario)


def _final(scenario: Scenario) -> str:
    """Not every row of these manifests can be carried out."""
    return "FAILED" if scenario is CREATE else "COMPLETED"
