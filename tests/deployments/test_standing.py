"""What stands on a Prefect server beside the deployments."""

import subprocess
import sys
from contextlib import suppress

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from deployments.standing import DEAD_RUNS, set_up
from tests.support.prefect import ROOT, PrefectServer

pytestmark = pytest.mark.timeout(180)


def test_it_is_set_up_once_and_again_without_harm(prefect_server: PrefectServer) -> None:
    with prefect_server.in_use() as client:
        forget_limit(client)
        set_up(slots=77)
        set_up(slots=78)
        assert client.read_global_concurrency_limit_by_name("polly-api").limit == 77
        # Others expect what is usual.
        forget_limit(client)
        (automation,) = client.read_automations_by_name(DEAD_RUNS)
        assert automation.enabled
        assert client.read_block_type_by_slug("polly-credentials").name == "Polly Credentials"


def forget_limit(client: SyncPrefectClient) -> None:
    with suppress(ObjectNotFound):
        client.delete_global_concurrency_limit_by_name("polly-api")


def test_prefects_server_and_ours_live_in_one_process() -> None:
    """They share FastAPI and SQLAlchemy; a version that breaks one of them breaks here."""
    program = (
        "import prefect.server.api.server as p; import polly_core.server.app as o; p.create_app()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
