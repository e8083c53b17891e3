"""``polly-bulk trigger`` as CI calls it: exit codes and documents, from Prefect's API alone."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

from cli.main import main
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import RunSummary
from tests.cli.test_commands import Said
from tests.support.datasets import fill, version_counts
from tests.support.deployed import DEPLOYMENT, Deployed, datasets, deployed_on
from tests.support.prefect import PrefectServer, ended, eventually

pytestmark = pytest.mark.timeout(400)

RENAME = 'update.change={"steps":[{"rename":"species","to":"organism"}]}'


@pytest.fixture(scope="module")
def deployed(
    prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    with deployed_on(prefect_server, tmp_path_factory.mktemp("triggered")) as found:
        yield found


class Ci:
    """A machine that knows Prefect's address and nothing else: no key, no ledger."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def trigger(self, *words: str, deployment: str = DEPLOYMENT) -> Said:
        self.capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("POLLY_HOME", str(self.folder))
            for name in ("POLLY_API_KEY", "POLLY_API_URL", "POLLY_LEDGER_URL"):
                patch.delenv(name, raising=False)
            with pytest.raises(SystemExit) as done:
                main(["trigger", deployment, *words])
        out, err = self.capsys.readouterr()
        assert isinstance(done.value.code, int)
        return Said(done.value.code, out, err)

    def update(self, atlas_id: str, *words: str) -> Said:
        given = ("-p", f"update.atlas_id={atlas_id}", *words)
        return self.trigger(*given, "--output", "json")


@pytest.fixture
def ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ci:
    return Ci(tmp_path, capsys)


def filled(deployed: Deployed, content: dict[str, JsonObject]) -> str:
    atlas_id = deployed.atlas.new_atlas()
    fill(deployed.atlas, atlas_id, content)
    return atlas_id


def runs_of(deployed: Deployed) -> list[UUID]:
    """Every flow run that anybody asked for."""
    deployment = deployed.client.read_deployment_by_name(DEPLOYMENT)
    mine = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))
    found = deployed.client.read_flow_runs(flow_run_filter=mine)
    return [run.id for run in found if not run.auto_scheduled]


def test_it_waits_and_tells_the_run_as_every_command_does(deployed: Deployed, ci: Ci) -> None:
    atlas_id = filled(deployed, datasets(30))
    parameters = ci.folder / "run.yaml"
    parameters.write_text("update: {run: {concurrency: 8, shard_size: 10}}")
    change = ci.folder / "change.yaml"
    change.write_text("steps:\n  - {rename: species, to: organism}\n")
    said = ci.update(
        atlas_id,
        *("-p", f"update.change=@{change}", "--parameters", str(parameters)),
        *("-p", "update.run.concurrency=16", "--wait", "--timeout", "300"),
    )
    assert said.code == 0, said.err
    document = said.document()
    run = deployed.client.read_flow_run(UUID(str(document["flow_run_id"])))
    assert run.parameters["update"] == {
        "atlas_id": atlas_id,
        "change": {"steps": [{"rename": "species", "to": "organism"}]},
        "run": {"concurrency": 16, "shard_size": 10},
    }
    assert (document["flow_run_state"], document["exit_code"]) == ("Completed", 0)
    assert str(run.id) in str(document["flow_run_url"])
    known = {key: value for key, value in document.items() if key in RunSummary.model_fields}
    summary = RunSummary.model_validate(known)
    assert (summary.run_id, summary.counts.ended_well) == (str(run.id), 30)
    assert "running" in said.err
    assert set(version_counts(deployed.atlas, atlas_id).values()) == {2}


def test_bad_ends_and_what_the_flow_refuses_have_their_codes(deployed: Deployed, ci: Ci) -> None:
    """1 with the document of the run; 2 where the flow found the input wrong. The worker's log
    tells both in words."""
    before = len(deployed.worker_log.read_text())
    content = datasets(4)
    content["d0000"]["sample"] = "a text"
    atlas_id = filled(deployed, content)
    nested = 'update.change={"steps":[{"rename":"species","to":"sample.organism"}]}'
    bad = ci.update(atlas_id, "-p", nested, "--wait")
    assert bad.code == 1, bad.err
    assert bad.document()["counts"]["by_state"]["invalid"] == 1  # type: ignore[index,call-overload]

    refused = ci.update(atlas_id, "-p", 'update.change={"steps":[{"no such step":1}]}', "--wait")
    assert refused.code == 2, refused.err
    assert "exactly one of the keys" in refused.err
    assert refused.document()["flow_run_state"] == "Failed"
    log = deployed.worker_log.read_text()[before:]
    assert "refused: the change is no usable change" in log
    assert "Traceback" not in log


def test_wrong_parameters_start_nothing(deployed: Deployed, ci: Ci) -> None:
    before = runs_of(deployed)
    for words, told in (
        (("-p", RENAME, "-p", "update.run.concurency=2"), "did you mean concurrency"),
        (("-p", RENAME, "-p", "update.run.concurrency=0"), "minimum of 1"),
        (("-p", RENAME, "-p", "update.run.concurrency=many"), "integer"),
        (("-p", RENAME, "-p", "udpate.atlas_id=9"), "did you mean update"),
        (("-p", "update.change=@absent.yaml"), "absent.yaml"),
        (("-p", "update"), "KEY=VALUE"),
        (("-p", "update.atlas_id.x=1"), "no parts"),
        ((), "change_uri or a manifest"),
        (("-p", RENAME, "-p", "update.change_uri=s3://b/c.yaml"), "keep one of them"),
    ):
        said = ci.update("9", *words, "--wait")
        assert said.code == 2, said
        assert told in said.err, said.err
    unknown = ci.trigger(deployment="bulk-update/absent")
    assert unknown.code == 2
    assert DEPLOYMENT in unknown.err
    assert runs_of(deployed) == before


@contextmanager
def once_running(deployed: Deployed, act: Callable[[UUID], None]) -> Iterator[None]:
    """Act on the run that is triggered inside, when it has processed a few items."""
    before = set(runs_of(deployed))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            (run_id,) = eventually(
                lambda: set(runs_of(deployed)) - before, seconds=100, what="the run"
            )
            deployed.wait_until_processed(run_id, 10)
            act(run_id)
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()
    assert not failed, failed


SLOWLY = ("-p", RENAME, "-p", "update.run.concurrency=1", "-p", "update.run.shard_size=50")


def test_a_run_whose_process_died_is_code_3(deployed: Deployed, ci: Ci) -> None:
    atlas_id = filled(deployed, datasets(200))
    with once_running(deployed, deployed.kill):
        said = ci.update(atlas_id, *SLOWLY, "--wait")
    assert said.code == 3, said
    assert "prefect flow-run retry" in said.err
    assert said.document()["flow_run_state"] == "Crashed"


@pytest.fixture
def heard() -> Iterator[None]:
    """SIGINT is heard, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_a_signal_cancels_the_run_where_that_is_asked_for(deployed: Deployed, ci: Ci) -> None:
    """As a CI job that is cancelled: the run stops, recorded, and says how to go on."""
    atlas_id = filled(deployed, datasets(200))
    with once_running(deployed, lambda _run: os.kill(os.getpid(), signal.SIGTERM)):
        said = ci.update(atlas_id, *SLOWLY, "--wait", "--cancel-on-interrupt")
    assert said.code == 130, said
    document = said.document()
    assert (document["state"], document["stop"]) == ("stopped", "cancelled")
    assert sum(number == 2 for number in version_counts(deployed.atlas, atlas_id).values()) >= 10


@pytest.mark.usefixtures("heard")
def test_who_stops_watching_leaves_the_run_alone(deployed: Deployed, ci: Ci) -> None:
    """Ctrl-C, and no waiting at all: the runs end well, and one waits for the other."""
    first, second = filled(deployed, datasets(100)), filled(deployed, datasets(3))
    with once_running(deployed, lambda _run: os.kill(os.getpid(), signal.SIGINT)):
        interrupted = ci.update(first, *SLOWLY, "--wait")
    assert interrupted.code == 130
    assert "prefect flow-run cancel" in interrupted.err
    slow = runs_of(deployed)
    started = ci.update(second, "-p", RENAME)
    assert started.code == 0, started.err
    waiting = UUID(str(started.document()["flow_run_id"]))
    before = max(
        (deployed.client.read_flow_run(run_id) for run_id in slow),
        key=lambda run: run.created.timestamp() if run.created else 0.0,
    )
    earlier, later = ended(deployed.client, before.id), ended(deployed.client, waiting)
    told = [run.state.message for run in (earlier, later) if run.state]
    assert (earlier.state_name, later.state_name) == ("Completed", "Completed"), told
    assert earlier.end_time is not None
    assert later.start_time is not None
    assert later.start_time >= earlier.end_time
