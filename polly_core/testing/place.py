"""Where a contract suite is run: an empty atlas, its ports, and other people."""

from pathlib import Path
from typing import Protocol

from polly_core.catalog.ports import ObjectKey, Ports, Reader, Store, Writer
from polly_core.models.catalog import (
    AtlasId,
    DatasetId,
    DatasetRecord,
    FileRecord,
    NewDataset,
    RunId,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject

RUN = RunId("11111111-1111-4111-8111-111111111111")
STAMP = WriteStamp(run_id=RUN)
ONE, TWO, NONE = DatasetId("GSE1"), DatasetId("GSE2"), DatasetId("absent")


class Place(Protocol):
    """An empty atlas, its ports, and what other people do to it. To be subclassed."""

    @property
    def atlas_id(self) -> AtlasId: ...

    @property
    def ports(self) -> Ports: ...

    @property
    def reader(self) -> Reader:
        return self.ports.reader

    @property
    def writer(self) -> Writer:
        return self.ports.writer

    @property
    def store(self) -> Store:
        return self.ports.store

    def neighbour(self) -> "Place":
        """Another empty atlas of the same service."""
        ...

    def add(
        self, dataset_id: str, metadata: JsonObject | None = None, *, study_id: str | None = None
    ) -> DatasetRecord: ...

    def remove(self, dataset_id: str) -> None: ...

    def attach(
        self, dataset_id: str, file_name: str, *, tag: str | None = None, linked: bool = False
    ) -> FileRecord: ...


class Local:
    """Local files, and what is made of them in a place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, content: bytes | str) -> Path:
        """A file with this content, long enough that equal content is noticed."""
        raw = content.encode() if isinstance(content, str) else content
        path = self._folder / "local file.gct"
        path.write_bytes(raw)
        return path

    def data(self, place: Place, content: str = "data", dataset_id: DatasetId = ONE) -> str:
        """The location of an object that can be the dataset's data."""
        key = ObjectKey(dataset_id, extension=".gct")
        return place.store.upload(self.file(content * 500), key)

    def side(self, place: Place, file_name: str, content: str = "side") -> str:
        """The location of an object that can be a supplementary file."""
        key = ObjectKey(ONE, file_name=file_name)
        return place.store.upload(self.file(content * 500), key)

    def new(self, place: Place, *, study_id: str | None = None, n: int = 1) -> NewDataset:
        """A dataset to be created."""
        return NewDataset.model_validate(
            {
                "data_type": "Proteomics",
                "metadata": {"n": n},
                "data_s3_uri": self.data(place, f"data {n}"),
                "data_format": "gct",
                "study_id": study_id,
            }
        )
