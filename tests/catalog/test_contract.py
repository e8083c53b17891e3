"""The contract of a catalog, over the fake in memory and over HTTP against the real server."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from polly_core.catalog.client import Catalog
from polly_core.catalog.connect import Connection, connect
from polly_core.catalog.ports import Ports
from polly_core.models.catalog import AtlasId, DatasetId, DatasetRecord, FileRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.testing.contract import CatalogContract
from polly_core.testing.contract_store import StoreContract
from polly_core.testing.contract_writes import WritesContract
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.place import Local, Place
from polly_core.transport.default import PollySession
from polly_core.transport.service import Service
from tests.support.atlas import RunningAtlas


@dataclass
class FakePlace(Place):
    """The fake with its scripted side."""

    fake: FakeCatalog

    @property
    def atlas_id(self) -> AtlasId:
        return self.fake.catalog.atlas_id

    @property
    def ports(self) -> Ports:
        return self.fake

    def neighbour(self) -> Place:
        return FakePlace(self.fake.another("17"))

    def add(
        self, dataset_id: str, metadata: JsonObject | None = None, *, study_id: str | None = None
    ) -> DatasetRecord:
        return self.fake.add(dataset_id, metadata, study_id=study_id)

    def remove(self, dataset_id: str) -> None:
        self.fake.remove(dataset_id)

    def attach(
        self, dataset_id: str, file_name: str, *, tag: str | None = None, linked: bool = False
    ) -> FileRecord:
        return self.fake.add_file(dataset_id, file_name, tag=tag, linked=linked)


class HttpPlace(Place):
    """The real server: the ports, and the catalog client as the other people."""

    def __init__(
        self, atlas: RunningAtlas, session: PollySession, data: Path, stack: ExitStack
    ) -> None:
        self._atlas = atlas
        self._session = session
        self._data = data
        self._stack = stack
        self._id = AtlasId(atlas.new_atlas())
        self._catalog = Catalog(self._id, session=session)
        connection = Connection(
            api_url=atlas.api_url,
            api_key=SecretStr(atlas.api_key),
            atlas_id=self._id,
            pool_size=4,
        )
        connected = connect(connection)
        stack.callback(connected.close)
        self._ports: Ports = connected

    @property
    def atlas_id(self) -> AtlasId:
        return self._id

    @property
    def ports(self) -> Ports:
        return self._ports

    def neighbour(self) -> Place:
        return HttpPlace(self._atlas, self._session, self._data, self._stack)

    def add(
        self, dataset_id: str, metadata: JsonObject | None = None, *, study_id: str | None = None
    ) -> DatasetRecord:
        self._catalog.create_dataset(
            dataset_id, "Bulk RNAseq", self._data, metadata or {}, study_id=study_id
        )
        return self.reader.dataset(DatasetId(dataset_id))

    def remove(self, dataset_id: str) -> None:
        self._catalog.delete_dataset(dataset_id)

    def attach(
        self, dataset_id: str, file_name: str, *, tag: str | None = None, linked: bool = False
    ) -> FileRecord:
        version_id = self._catalog.get_dataset(dataset_id).version_id if linked else None
        self._catalog.attach_file(
            dataset_id, self._data, file_name=file_name, tag=tag, source_version_id=version_id
        )
        files = self.reader.files(DatasetId(dataset_id))
        return next(file for file in files if file.file_name == file_name)


class WholeContract(CatalogContract, WritesContract, StoreContract):
    """Every suite."""

    @pytest.fixture
    def local(self, tmp_path: Path) -> Local:
        return Local(tmp_path)


@pytest.fixture(scope="module")
def session(atlas: RunningAtlas) -> Iterator[PollySession]:
    """One session, and so one S3 client, for all tests over HTTP."""
    session = PollySession(Service(atlas.api_url, SecretStr(atlas.api_key)))
    yield session
    session.transport().close()


class TestFake(WholeContract):
    """The fake that enforces preconditions, as the self-hosted server does."""

    @pytest.fixture
    def place(self) -> Place:
        return FakePlace(FakeCatalog())


class TestFakeWithoutPreconditions(WholeContract):
    """The fake without preconditions and ingestion records, as the hosted service is."""

    @pytest.fixture
    def place(self) -> Place:
        return FakePlace(FakeCatalog(enforce_versions=False))


class TestHttp(WholeContract):
    """HTTP and S3, against a real server process."""

    @pytest.fixture
    def place(self, atlas: RunningAtlas, session: PollySession, tmp_path: Path) -> Iterator[Place]:
        data = tmp_path / "data.gct"
        data.write_text("#1.2\n")
        with ExitStack() as stack:
            yield HttpPlace(atlas, session, data, stack)
