"""What stands in an atlas of a running server: put there, changed by others, and read back."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from polly_core.catalog.connect import Connected, Connection, connect
from polly_core.models.catalog import AtlasId, DatasetId, DatasetRecord, IngestionRecord, RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.server.s3 import s3_client
from tests.support.objects import store_access, upload
from tests.support.wire import WireCaller

AT_ONCE = 8


class Server(Protocol):
    """A server of this project, in whatever process."""

    @property
    def api_url(self) -> str: ...

    @property
    def api_key(self) -> str: ...

    @property
    def data_dir(self) -> Path: ...

    def new_atlas(self) -> str:
        """The id of a fresh, empty atlas."""
        ...


class State(NamedTuple):
    """One dataset, as far as it is the same in two atlases that went through the same."""

    metadata: JsonObject
    data_type: str
    versions: int


def connected(server: Server, atlas_id: str) -> Connected:
    """Our own client, patient; close it."""
    return connect(
        Connection(
            api_url=server.api_url,
            api_key=SecretStr(server.api_key),
            atlas_id=AtlasId(atlas_id),
        )
    )


def fill(server: Server, atlas_id: str, datasets: Mapping[str, JsonObject]) -> None:
    """Create a dataset for each id, with its metadata; they share one data object."""
    uri = upload(s3_client(store_access(server.data_dir)), f"{atlas_id}/data.gct")
    caller = WireCaller(server.api_url, server.api_key)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for answer in pool.map(
                lambda one: caller.create(atlas_id, one[0], uri, one[1]), datasets.items()
            ):
                assert answer.status == 201, answer.body
    finally:
        caller.close()


def snapshot(server: Server, atlas_id: str) -> dict[str, State]:
    """Every dataset of an atlas with its metadata and how many versions it has."""
    client = connected(server, atlas_id)
    reader = client.reader

    def look(record: DatasetRecord) -> tuple[str, State]:
        versions = len(reader.versions(record.dataset_id))
        return record.dataset_id, State(reader.metadata(record), record.data_type, versions)

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(pool.map(look, reader.datasets()))
    finally:
        client.close()


def history(server: Server, atlas_id: str, dataset_id: str) -> list[JsonObject]:
    """The metadata of every version of a dataset, oldest first."""
    client = connected(server, atlas_id)
    try:
        versions = client.reader.versions(DatasetId(dataset_id))
        return [client.reader.metadata(version) for version in reversed(versions)]
    finally:
        client.close()


def ingestions(server: Server, atlas_id: str, run_id: str) -> list[IngestionRecord]:
    """What the server recorded of a run's writes."""
    client = connected(server, atlas_id)
    try:
        assert client.reader.capabilities.lists_ingestions
        return client.reader.ingestions(RunId(run_id))
    finally:
        client.close()
