"""The command line killed with -9 while it runs as a flow, and resumed."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from polly_core.errors import RunNotFound
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.run import ItemState
from tests.engine.real import CHANGE, RealRig, expected, written
from tests.support.atlas import REPOSITORY, RunningAtlas, polly_bulk
from tests.support.standing import ingestions

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

NUMBER = 400


class _Shell:
    """Commands of one user: a home folder, a ledger, a local Prefect server of their own."""

    def __init__(self, rig: RealRig) -> None:
        self._rig = rig
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "POLLY_"))}
        self._environment = own | {
            "POLLY_HOME": str(rig.folder),
            "POLLY_LEDGER_URL": rig.ledger_url,
            "POLLY_API_URL": rig.server.api_url,
            "POLLY_API_KEY": rig.server.api_key,
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            polly_bulk(*arguments),
            cwd=REPOSITORY,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        said, told = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, said, told)


@pytest.fixture
def shell(atlas: RunningAtlas, tmp_path: Path) -> Iterator[tuple[_Shell, RealRig]]:
    rig = RealRig(atlas, tmp_path)
    shell = _Shell(rig)
    started = shell.run("prefect", "start")
    assert started.returncode == 0, started.stderr
    try:
        yield shell, rig
    finally:
        stopped = shell.run("prefect", "stop")
        assert stopped.returncode == 0, stopped.stderr


def _processed(rig: RealRig, run_id: RunId) -> int:
    with open_ledger(rig.ledger_url) as ledger:
        try:
            return ledger.counts(run_id).processed
        except RunNotFound:
            return 0


@pytest.mark.parametrize("seed", range(3))
def test_the_flow_is_killed_and_resumed(shell: tuple[_Shell, RealRig], seed: int) -> None:
    commands, rig = shell
    rig.fill(NUMBER)
    change = rig.folder / "change.json"
    change.write_text(json.dumps(CHANGE))
    run_id = RunId(str(uuid4()))
    process = commands.start(
        *("update", "--atlas", rig.atlas_id, "--change", str(change), "--yes"),
        *("--run-id", run_id, "--shard-size", "50", "--concurrency", "4"),
    )
    wanted = random.Random(seed).randrange(1, NUMBER * 3 // 4)
    deadline = time.monotonic() + 200
    while _processed(rig, run_id) < wanted and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == -9, told
    assert _processed(rig, run_id) < NUMBER
    resumed = commands.run("resume", run_id, "--output", "json")
    assert resumed.returncode == 1, f"one item cannot be changed: {resumed.stderr}"
    assert rig.standing() == expected(NUMBER)
    recorded = ingestions(rig.server, rig.atlas_id, run_id)
    assert sorted(one.dataset_id for one in recorded) == written(NUMBER)
    summary = json.loads(resumed.stdout)
    assert summary["counts"]["by_state"][ItemState.APPLIED] == len(written(NUMBER))
