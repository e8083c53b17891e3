"""Copies between two atlases of a real server: what is in them, and what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from polly_core.catalog.connect import Connected
from polly_core.catalog.ports import ObjectKey
from polly_core.engine.request import RunRequest
from polly_core.models.catalog import (
    AtlasId,
    DatasetChange,
    DatasetId,
    DatasetRecord,
    NewDataset,
    NewFile,
    RunId,
    StudyId,
    VersionId,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, OperationName, RunOptions, RunSummary
from polly_core.models.selection import Selection
from tests.engine.real import RealRig
from tests.support.standing import Server, connected

STAMP = WriteStamp(run_id=RunId("99999999-9999-4999-8999-999999999999"))


class FileIs(NamedTuple):
    """A supplementary file: by what its object says of its content."""

    size: int
    etag: str
    file_format: str
    tag: str | None
    linked: bool


class Is(NamedTuple):
    """A dataset as it stands."""

    metadata: JsonObject
    data: tuple[int, str]
    data_type: str
    data_format: str
    study_id: str | None
    files: dict[str, FileIs]


def _is(client: Connected, record: DatasetRecord) -> Is:
    reader = client.reader
    files: dict[str, FileIs] = {}
    for file in reader.files(record.dataset_id):
        stat = reader.stat(file.file_location)
        linked = file.derived_from == record.data_location
        files[file.file_name] = FileIs(stat.size, stat.etag, file.file_format, file.tag, linked)
    stat = reader.stat(record.data_location)
    return Is(
        reader.metadata(record),
        (stat.size, stat.etag),
        record.data_type,
        record.data_format,
        record.study_id,
        files,
    )


@dataclass
class RealCopies:
    """Runs that copy from one fresh atlas of a server into another."""

    rig: RealRig
    source_id: str
    folder: Path
    clients: dict[str, Connected] = field(default_factory=dict)
    """Of other people, by atlas."""

    @property
    def server(self) -> Server:
        return self.rig.server

    def client(self, atlas_id: str = "") -> Connected:
        """Somebody's client, of the source unless told otherwise."""
        atlas_id = atlas_id or self.source_id
        if atlas_id not in self.clients:
            self.clients[atlas_id] = connected(self.server, atlas_id)
        return self.clients[atlas_id]

    def local(self, content: bytes, name: str = "local.gct") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def add(
        self,
        dataset_id: str,
        *,
        content: bytes,
        files: dict[str, bytes] | None = None,
        study_id: str | None = None,
        atlas_id: str = "",
    ) -> None:
        """A dataset with its data; of its files the first is linked, and all are tagged."""
        client, identifier = self.client(atlas_id), DatasetId(dataset_id)
        new = NewDataset(
            data_type="Bulk RNAseq",
            metadata={"name": dataset_id, "n": len(content)},
            data_s3_uri=client.store.upload(
                self.local(content), ObjectKey(identifier, extension=".gct")
            ),
            data_format="gct",
            study_id=StudyId(study_id) if study_id else None,
        )
        made = client.writer.create(identifier, new, STAMP)
        for position, (name, body) in enumerate((files or {}).items()):
            linked_to = None if position else made.version_id
            self._attach(client, identifier, name, body, linked_to)

    def attach(self, dataset_id: str, name: str, body: bytes) -> None:
        """Somebody attaches a file in the source, or replaces it."""
        self._attach(self.client(), DatasetId(dataset_id), name, body, None)

    def _attach(
        self,
        client: Connected,
        dataset_id: DatasetId,
        name: str,
        body: bytes,
        linked_to: VersionId | None,
    ) -> None:
        key = ObjectKey(dataset_id, file_name=name)
        file = NewFile(
            file_name=name,
            file_s3_uri=client.store.upload(self.local(body), key),
            file_format="txt",
            tag=f"tag of {name}",
            source_version_id=linked_to,
        )
        client.writer.attach(dataset_id, file)

    def fill(self, number: int) -> None:
        """Datasets with data, a linked file and another one each."""
        for n in range(number):
            self.add(
                f"D{n:03}",
                content=f"data {n} ".encode() * 400,
                files={"linked.txt": f"linked {n} ".encode() * 400, "tiny.txt": b"tiny"},
                study_id=f"S{n % 2}",
            )

    def edit(self, dataset_id: str, change: DatasetChange, *, atlas_id: str = "") -> None:
        """Somebody's edit, of the source unless told otherwise."""
        self.client(atlas_id).writer.update(DatasetId(dataset_id), change, STAMP)

    def request(
        self,
        existing: str = "fail",
        *,
        selection: Selection | None = None,
        barrier: bool = False,
        from_atlas: str | None = None,
        options: JsonObject | None = None,
    ) -> RunRequest:
        chosen = {"shard_size": 5, "concurrency": 4, **(options or {})}
        return RunRequest(
            run_id=RunId(str(uuid4())),
            atlas_id=AtlasId(self.rig.atlas_id),
            operation=OperationName.COPY,
            change={"from_atlas": from_atlas or self.source_id, "existing": existing},
            selection=selection or Selection(),
            options=RunOptions.model_validate(chosen),
            barrier=barrier,
        )

    def copy(self, existing: str = "fail", **asked: object) -> RunSummary:
        return self.rig.run(self.request(existing, **asked))  # type: ignore[arg-type]

    def counts(self, summary: RunSummary) -> dict[ItemState, int]:
        return dict(summary.counts.by_state)

    @property
    def here(self) -> dict[str, Is]:
        """What is in the source."""
        return _everything(self.client())

    @property
    def there(self) -> dict[str, Is]:
        """What is at the destination."""
        return _everything(self.client(self.rig.atlas_id))

    @property
    def histories(self) -> set[int]:
        """How many versions the datasets of the destination ever had."""
        reader = self.client(self.rig.atlas_id).reader
        return {
            len(reader.versions(one.dataset_id, include_deleted=True)) for one in reader.datasets()
        }


def _everything(client: Connected) -> dict[str, Is]:
    return {one.dataset_id: _is(client, one) for one in client.reader.datasets()}


@contextmanager
def real_copies(server: Server, folder: Path, *, read_timeout: float = 5.0) -> Iterator[RealCopies]:
    """Between two fresh atlases of a server."""
    rig = RealRig(server, folder, read_timeout=read_timeout)
    copies = RealCopies(rig, server.new_atlas(), folder)
    try:
        yield copies
    finally:
        for client in copies.clients.values():
            client.close()
