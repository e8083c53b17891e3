"""A run over a catalog that stores nothing, in a process of its own, and what memory it took.

``python -m tests.engine.lean NUMBER FOLDER`` prints one JSON line.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import uuid4

from pydantic import SecretStr

from polly_core.catalog.connect import Connection
from polly_core.catalog.ports import Ports, Reader, Store
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import open_session
from polly_core.models.catalog import (
    AtlasId,
    Capabilities,
    CatalogRef,
    DatasetChange,
    DatasetId,
    DatasetPage,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    RunId,
    StudyId,
    VersionId,
    VersionRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.transport.retry import Retrier
from tests.engine.child import carry_through
from tests.support.memory import peak_kib

PAGE = 1000
TEXT = "An abstract of the length that abstracts have. " * 40
CHANGE: JsonObject = {"steps": [{"set": "reviewed", "value": True}]}


@dataclass(frozen=True)
class LeanCatalog:
    """Datasets that are made up whenever they are asked for. Both ports."""

    number: int

    @property
    def reader(self) -> "LeanCatalog":
        return self

    @property
    def writer(self) -> "LeanCatalog":
        return self

    @property
    def store(self) -> "Store":
        raise NotImplementedError

    def beside(self, atlas_id: AtlasId) -> "Reader":
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""

    @property
    def catalog(self) -> CatalogRef:
        return CatalogRef(api_url="http://lean.invalid", atlas_id=AtlasId("9"))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(expects_version=True)

    def page(self, link: str | None = None, *, size: int | None = None) -> DatasetPage:
        first = int(link or 0)
        last = min(first + PAGE, self.number)
        records = tuple(self._record(position, "v1") for position in range(first, last))
        return DatasetPage(records=records, next_link=str(last) if last < self.number else None)

    def datasets(self, *, page_size: int | None = None) -> Iterator[DatasetRecord]:
        return (self._record(position, "v1") for position in range(self.number))

    def dataset(self, dataset_id: DatasetId) -> DatasetRecord:
        return self._record(int(dataset_id[1:]), "v1")

    def metadata(self, record: DatasetRecord | VersionRecord) -> JsonObject:
        return {"name": record.dataset_id, "abstract": TEXT, "organism": "human"}

    def update(
        self, dataset_id: DatasetId, change: DatasetChange, stamp: WriteStamp
    ) -> DatasetRecord:
        assert change.metadata is not None
        assert change.metadata["reviewed"] is True
        return self._record(int(dataset_id[1:]), "v2")

    def versions(
        self, dataset_id: DatasetId, *, include_deleted: bool = False
    ) -> list[VersionRecord]:
        raise NotImplementedError

    def version(self, dataset_id: DatasetId, version_id: VersionId) -> VersionRecord:
        raise NotImplementedError

    def files(self, dataset_id: DatasetId) -> list[FileRecord]:
        raise NotImplementedError

    def study(self, study_id: StudyId) -> list[DatasetId]:
        raise NotImplementedError

    def ingestions(
        self, run_id: RunId, dataset_id: DatasetId | None = None
    ) -> list[IngestionRecord]:
        raise NotImplementedError

    def _record(self, position: int, version: str) -> DatasetRecord:
        name = f"D{position:07}"
        return DatasetRecord(
            dataset_id=DatasetId(name),
            version_id=VersionId(f"{name}-{version}"),
            data_type="Bulk RNAseq",
            data_format="gct",
            data_location=f"s3://bucket/9/{name}.gct?versionId=1",
            metadata_location=f"s3://bucket/9/{name}.json?versionId={version}",
            last_modified_at=1_700_000_000_000,
        )


def _run(number: int, folder: Path) -> None:
    def connector(_connection: Connection, _retrier: Retrier) -> Ports:
        return cast(Ports, LeanCatalog(number))

    request = RunRequest(run_id=RunId(str(uuid4())), atlas_id=AtlasId("9"), change=CHANGE)
    surroundings = Surroundings(
        api_url="http://lean.invalid",
        api_key=SecretStr("secret"),
        ledger_url=f"sqlite:///{folder / 'ledger.db'}",
        home=folder,
    )
    with open_session(request, surroundings, connector=connector) as session:
        summary = carry_through(session, barrier=False)
    print(json.dumps({"counts": dict(summary.counts.by_state), "peak_kib": peak_kib()}))


if __name__ == "__main__":
    _run(int(sys.argv[1]), Path(sys.argv[2]))
