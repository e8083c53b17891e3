"""``polly-bulk deploy`` on a server that nobody serves yet."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from cli.main import main
from tests.cli.test_commands import Said
from tests.support.deployed import DEPLOYMENT, NIGHTLY, forget
from tests.support.prefect import PrefectServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_server.in_use() as found:
        forget(found)
        yield found
        forget(found)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NIGHTLY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POLLY_HOME", str(tmp_path))
    # prefect_api sets it where it is not set; this takes it away again.
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> Said:
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(list(words))
    out, err = capsys.readouterr()
    assert isinstance(done.value.code, int)
    return Said(done.value.code, out, err)


def test_it_says_what_stands_and_what_is_left_out(
    client: SyncPrefectClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLY_BULK_ATLAS", "9")
    said = typed(capsys, "deploy", "--output", "json")
    assert said.code == 0, said.err
    document = json.loads(said.out)
    assert document["api_url"] == PREFECT_API_URL.value()
    assert "deployment 'update': set up" in document["done"]
    assert "  schedule 'nightly': left out, needs POLLY_BULK_CHANGE_URI" in document["done"]
    assert document["done"] == [line for line in said.err.splitlines() if line in document["done"]]
    assert client.read_deployment_by_name(DEPLOYMENT).schedules == []


def test_a_run_that_no_worker_takes_is_code_3_and_says_so(
    client: SyncPrefectClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(capsys, "deploy").code == 0
    run = ("-p", "update.run.run_id=0b8f6d2e-0c4e-4a53-9f6e-2f1f2f3a4b5c")
    said = typed(capsys, "trigger", DEPLOYMENT, *run, "--wait", "--start-timeout", "1")
    assert said.code == 3, said
    assert "no worker of work pool 'polly-bulk' is online" in said.err
    assert "prefect flow-run cancel" in said.err
    impatient = typed(capsys, "trigger", DEPLOYMENT, *run, "--wait", "--timeout", "0.1")
    assert impatient.code == 3
    assert "did not end within 0.1 s" in impatient.err


def test_a_folder_that_is_no_checkout_is_refused(
    client: SyncPrefectClient, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = typed(capsys, "deploy", "--folder", str(tmp_path))
    assert said.code == 2, said
    assert "checkout" in said.err


@pytest.mark.parametrize("words", [("deploy",), ("trigger", DEPLOYMENT)])
def test_a_prefect_server_out_of_reach_is_code_3(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    nowhere = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nowhere):
        said = typed(capsys, *words)
    assert said.code == 3, said
    assert "127.0.0.1:9" in said.err
