"""The deployments of prefect.yaml on a real server, with a real worker and a slow atlas."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.exceptions import ObjectNotFound

from deployments.deploying import deploy
from deployments.standing import DEAD_RUNS
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonObject
from tests.support.atlas import RunningAtlas, running_atlas
from tests.support.prefect import PrefectServer, eventually

POOL = "polly-bulk"
DEPLOYMENT = "bulk-update/update"
NIGHTLY = {"POLLY_BULK_ATLAS": "9", "POLLY_BULK_CHANGE_URI": "s3://changes/nightly.yaml"}


@dataclass(frozen=True)
class Deployed:
    """A deployment that a worker serves."""

    server: PrefectServer
    client: SyncPrefectClient
    atlas: RunningAtlas
    home: Path
    worker_log: Path
    ledger_url: str

    def start(self, parameters: Mapping[str, object]) -> UUID:
        """Ask for a flow run with these parameters; its id."""
        deployment = self.client.read_deployment_by_name(DEPLOYMENT)
        run = self.client.create_flow_run_from_deployment(
            deployment.id, parameters=dict(parameters)
        )
        return run.id

    def processed(self, run_id: UUID) -> int:
        """Items of the run that have their outcome, as its ledger says."""
        with open_ledger(self.ledger_url) as ledger:
            known = {run.run_id for run in ledger.runs()}
            return ledger.counts(RunId(str(run_id))).processed if str(run_id) in known else 0

    def wait_until_processed(self, run_id: UUID, items: int) -> None:
        """Return when the run is under way."""
        eventually(
            lambda: self.processed(run_id) >= items, seconds=200, what=f"{items} items of {run_id}"
        )

    def kill(self, run_id: UUID) -> None:
        """kill -9 of the process that executes the run."""
        with open_ledger(self.ledger_url) as ledger:
            (execution,) = ledger.executions(RunId(str(run_id)), living=True)
        os.kill(process_id(execution.process), signal.SIGKILL)

    @property
    def worker_environment(self) -> dict[str, str]:
        """What a worker is given: key, service, ledger."""
        return {
            "POLLY_API_KEY": self.atlas.api_key,
            "POLLY_API_URL": self.atlas.api_url,
            "POLLY_HOME": str(self.home),
            "POLLY_LEDGER_URL": self.ledger_url,
        }


@contextmanager
def deployed_on(
    server: PrefectServer, folder: Path, *, ledger_url: str = "", limit: int | None = None
) -> Iterator[Deployed]:
    """Everything set up as the documentation says, the nightly run as well, and a worker.

    Args:
        ledger_url: a file of its own where none is given.
        limit: flow runs that the worker takes at a time.
    """
    home, log = folder / "home", folder / "worker.log"
    home.mkdir()
    with (
        running_atlas(folder / "data", "--delay-ms", "40") as atlas,
        server.in_use() as client,
    ):
        list(deploy(client, environment=server.environment(NIGHTLY), reset=True))
        ledger_url = ledger_url or f"sqlite:///{home / 'ledger.db'}"
        found = Deployed(server, client, atlas, home, log, ledger_url)
        with server.worker(POOL, found.worker_environment, log, limit=limit):
            yield found


def forget(client: SyncPrefectClient) -> None:
    """Take away what deploying has put on a server."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["polly-bulk"]))
    for deployment in client.read_deployments(deployment_filter=ours):
        client.delete_deployment(deployment.id)
    for automation in client.read_automations_by_name(DEAD_RUNS):
        client.delete_automation(automation.id)
    try:
        client.delete_work_pool(POOL)
    except ObjectNotFound:
        return


def datasets(count: int) -> dict[str, JsonObject]:
    """Metadata for so many datasets."""
    return {f"d{number:04d}": {"species": "human", "number": number} for number in range(count)}


def update_of(atlas_id: str, **run: object) -> dict[str, object]:
    """Parameters of a run that changes every dataset of an atlas."""
    change = {"steps": [{"rename": "species", "to": "organism"}]}
    return {"update": {"atlas_id": atlas_id, "change": change, "run": run}}


def process_id(process: str) -> int:
    """The process id in what an execution records of its process (``…/pid/start``)."""
    return int(process.split("/")[-2])
