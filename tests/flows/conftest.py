"""Flows in the test's own process, on a real atlas and a real Prefect server."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.bulk_update import BulkUpdate, bulk_update
from flows.running import ignore, run_here
from polly_core.engine.meter import Progress
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import RunSummary
from tests.support.atlas import RunningAtlas
from tests.support.datasets import fill
from tests.support.prefect import PrefectServer

RENAME: JsonObject = {"steps": [{"rename": "species", "to": "organism"}]}


@dataclass(frozen=True)
class Bench:
    """A fresh atlas, a ledger of its own, and a client of the Prefect server."""

    atlas: RunningAtlas
    atlas_id: str
    home: Path
    server: PrefectServer
    client: SyncPrefectClient

    def fill(self, datasets: Mapping[str, JsonObject]) -> None:
        """Create these datasets."""
        fill(self.atlas, self.atlas_id, datasets)

    def update(
        self,
        change: JsonObject = RENAME,
        *,
        on_progress: Callable[[Progress], None] = ignore,
        **run: object,
    ) -> RunSummary:
        """Run the flow here, over the whole atlas."""
        given = {"atlas_id": self.atlas_id, "change": change, "run": run}
        parameters = {"update": BulkUpdate.model_validate(given)}
        return run_here(bulk_update, parameters, on_progress=on_progress)


@pytest.fixture
def bench(
    atlas: RunningAtlas,
    prefect_server: PrefectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    """Configured by the environment, as a user's program would be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLLY_API_KEY", atlas.api_key)
    monkeypatch.setenv("POLLY_API_URL", atlas.api_url)
    monkeypatch.setenv("POLLY_HOME", str(tmp_path))
    monkeypatch.delenv("POLLY_LEDGER_URL", raising=False)
    with prefect_server.in_use() as client:
        yield Bench(atlas, atlas.new_atlas(), tmp_path, prefect_server, client)


def human(count: int) -> dict[str, JsonObject]:
    """Metadata for so many datasets."""
    return {f"d{number:04d}": {"species": "human", "number": number} for number in range(count)}
