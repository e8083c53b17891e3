"""Which Prefect server the command line's flows are recorded on."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)

from cli.prefect_api import prefect_api
from deployments.standing import DEAD_RUNS
from tests.support.prefect import PrefectServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # prefect_api sets it where it is not set; this takes it away again.
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")


def test_the_one_that_is_set_is_used_and_none_is_started(tmp_path: Path) -> None:
    url = "http://prefect.test/api"
    with temporary_settings({PREFECT_API_URL: url}), prefect_api(tmp_path) as found:
        assert found == url
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("set_to", "used"), [(180, 30), (30, 30), (None, None)])
def test_flows_beat_as_often_as_the_automation_expects(
    tmp_path: Path, set_to: int | None, used: int | None
) -> None:
    """Prefect's default is every three minutes: a living run would be marked as dead."""
    elsewhere = {
        PREFECT_API_URL: "http://prefect.test/api",
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: set_to,
    }
    with temporary_settings(elsewhere), prefect_api(tmp_path):
        assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() == used


def test_where_none_is_set_the_local_one_is_used_and_made_ready(
    prefect_server: PrefectServer,
) -> None:
    """With the limit and the automation; results are kept beside its records."""
    home = prefect_server.home
    # Tests that share the server may have set it up and taken the automation away again.
    (home / "prefect" / "set-up").unlink(missing_ok=True)
    before = PREFECT_API_URL.value()
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        prefect_api(home) as found,
        get_client(sync_client=True) as client,
    ):
        assert found == prefect_server.api_url == PREFECT_API_URL.value()
        assert home in PREFECT_LOCAL_STORAGE_PATH.value().parents
        assert client.read_global_concurrency_limit_by_name("polly-api").active
        assert client.read_automations_by_name(DEAD_RUNS)
    assert PREFECT_API_URL.value() == before
    assert prefect_server.local.status().running
