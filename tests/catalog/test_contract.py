"""The contract of a catalog, over the fake in memory and over HTTP against the real server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from polly_core.catalog.client import Catalog
from polly_core.catalog.connect import Connected, Connection, connect
from polly_core.catalog.ports import ObjectKey, Reader, Writer
from polly_core.models.catalog import AtlasId, DatasetId, DatasetRecord, FileRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.testing.contract import CatalogContract, Place
from polly_core.testing.fake import FakeCatalog
from polly_core.transport.default import PollySession
from polly_core.transport.service import Service
from tests.support.atlas import RunningAtlas


@dataclass
class FakePlace:
    """The fake with its scripted side."""

    fake: FakeCatalog

    @property
    def reader(self) -> Reader:
        return self.fake

    @property
    def writer(self) -> Writer:
        return self.fake

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

    def other_data(self, dataset_id: str) -> str:
        return self.fake.put_object(ObjectKey(DatasetId(dataset_id), extension=".gct"), b"other")


@dataclass
class HttpPlace:
    """The real server: the ports, and the catalog client as the other people."""

    connected: Connected
    catalog: Catalog
    data: Path

    @property
    def reader(self) -> Reader:
        return self.connected.reader

    @property
    def writer(self) -> Writer:
        return self.connected.writer

    def add(
        self, dataset_id: str, metadata: JsonObject | None = None, *, study_id: str | None = None
    ) -> DatasetRecord:
        self.catalog.create_dataset(
            dataset_id, "Bulk RNAseq", self.data, metadata or {}, study_id=study_id
        )
        return self.reader.dataset(DatasetId(dataset_id))

    def remove(self, dataset_id: str) -> None:
        self.catalog.delete_dataset(dataset_id)

    def attach(
        self, dataset_id: str, file_name: str, *, tag: str | None = None, linked: bool = False
    ) -> FileRecord:
        version_id = self.catalog.get_dataset(dataset_id).version_id if linked else None
        self.catalog.attach_file(
            dataset_id, self.data, file_name=file_name, tag=tag, source_version_id=version_id
        )
        files = self.reader.files(DatasetId(dataset_id))
        return next(file for file in files if file.file_name == file_name)

    def other_data(self, dataset_id: str) -> str:
        other = self.data.with_name("other.gct")
        other.write_text("#1.2\nother\n")
        return self.catalog._calls.upload(other, f"{dataset_id}/{dataset_id}.gct")


@pytest.fixture(scope="module")
def session(atlas: RunningAtlas) -> Iterator[PollySession]:
    """One session, and so one S3 client, for all tests over HTTP."""
    session = PollySession(Service(atlas.api_url, SecretStr(atlas.api_key)))
    yield session
    session.transport().close()


class TestFake(CatalogContract):
    """The fake that enforces preconditions, as the self-hosted server does."""

    @pytest.fixture
    def place(self) -> Place:
        return FakePlace(FakeCatalog())


class TestFakeWithoutPreconditions(CatalogContract):
    """The fake without preconditions and ingestion records, as the hosted service is."""

    @pytest.fixture
    def place(self) -> Place:
        return FakePlace(FakeCatalog(enforce_versions=False))


class TestHttp(CatalogContract):
    """HTTP and S3, against a real server process."""

    @pytest.fixture
    def place(
        self, atlas: RunningAtlas, session: PollySession, atlas_id: str, tmp_path: Path
    ) -> Iterator[Place]:
        data = tmp_path / "data.gct"
        data.write_text("#1.2\n")
        connection = Connection(
            api_url=atlas.api_url,
            api_key=SecretStr(atlas.api_key),
            atlas_id=AtlasId(atlas_id),
            pool_size=4,
        )
        connected = connect(connection)
        yield HttpPlace(connected, Catalog(atlas_id, session=session), data)
        connected.close()
