"""What is wrong with the input is said in words: by the state, the log and the command line."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from flows.bulk_update import BulkUpdate, bulk_update
from flows.running import run_here
from polly_core.engine.report import summarise
from polly_core.errors import InvalidInput
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.run import RunState, RunSummary, StopReason
from polly_core.settings import Settings
from tests.flows.conftest import Bench, human
from tests.support.prefect import ROOT, eventually, logs_of, task_runs_of

pytestmark = pytest.mark.timeout(200)

RUN = "6a3f5d1e-0000-4000-8000-00000000000"
PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cli.main import main; main()"


def types(bench: Bench, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as somebody's terminal shows it."""
    given = {
        "POLLY_API_KEY": bench.atlas.api_key,
        "POLLY_API_URL": bench.atlas.api_url,
        "POLLY_HOME": str(bench.home),
    }
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "update", "--atlas", bench.atlas_id, *words],
        cwd=bench.home,
        env=bench.server.environment(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def recorded(run_id: str) -> RunSummary:
    with open_ledger(Settings().ledger()) as ledger:
        return summarise(ledger, ledger.run(RunId(run_id)))


def duplicates(folder: Path) -> str:
    path = folder / "dup.csv"
    path.write_text("dataset_id,metadata.a\nd0000,1\nd0000,2\n")
    return str(path)


def test_bad_input_is_a_few_lines_on_the_command_line(bench: Bench) -> None:
    bench.fill(human(1))
    run_id = f"{RUN}1"
    words = ("--run-id", run_id, "--yes")
    said = types(bench, "--manifest", duplicates(bench.home), *words)
    assert said.returncode == 2, said.stderr
    assert "Traceback" not in said.stderr
    assert said.stderr.count("d0000") <= 3, said.stderr
    assert "d0000" in said.stderr.splitlines()[-1]
    assert recorded(run_id).stop is StopReason.REFUSED

    other = types(bench, "--set", "a=1", *words)
    assert other.returncode == 2, other.stderr
    assert "Traceback" not in other.stderr
    assert "was made for another spec" in other.stderr


def test_the_flow_run_and_the_ledger_say_why(bench: Bench) -> None:
    bench.fill(human(1))
    given = {
        "atlas_id": bench.atlas_id,
        "selection": {"manifest_uri": duplicates(bench.home)},
        "run": {"run_id": f"{RUN}2"},
    }
    form = BulkUpdate.model_validate(given)
    with pytest.raises(InvalidInput, match="d0000"):
        bulk_update(form)
    started: list[str] = []
    with pytest.raises(InvalidInput, match="d0000") as refused:
        run_here(bulk_update, {"update": form}, on_start=lambda _run, own: started.append(own))
    run = bench.client.read_flow_run(UUID(started[0]))
    assert run.state is not None
    assert (run.state_name, run.state.message) == ("Failed", f"refused: {refused.value}")
    assert isinstance(run.state.result(raise_on_failure=False), InvalidInput)
    assert f"ingestion_run_id:{RUN}2" in run.tags
    summary = recorded(f"{RUN}2")
    assert (summary.state, summary.stop) == (RunState.STOPPED, StopReason.REFUSED)
    assert str(refused.value) in summary.message
    logs = eventually(
        lambda: [
            log.message
            for log in logs_of(bench.client, run.id)
            if any("Finished" in one.message for one in logs_of(bench.client, run.id))
        ],
        what="the end of the logs",
    )
    assert not [line for line in logs if "Traceback" in line]
    (task,) = eventually(lambda: task_runs_of(bench.client, run.id), what="the task run")
    assert (task.name, task.state_name) == ("select", "Failed")


def test_what_nobody_expected_keeps_its_traceback(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_form: BulkUpdate, _own: str) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(BulkUpdate, "request", broken)
    with pytest.raises(ZeroDivisionError):
        bench.update()
    assert any(record.exc_info for record in caplog.records if "a mistake" in record.getMessage())


@pytest.mark.parametrize(
    "uri", ["https://u:hush@host/m.csv", "https://host/m.csv?X-Amz-Signature=hush"]
)
def test_a_secret_in_a_url_goes_nowhere(bench: Bench, uri: str) -> None:
    before = len(bench.client.read_flow_runs(limit=200))
    said = types(bench, "--manifest", uri, "--yes")
    assert said.returncode == 2, said.stderr
    assert "host/m.csv" in said.stderr
    assert "hush" not in said.stderr + said.stdout
    assert len(bench.client.read_flow_runs(limit=200)) == before
