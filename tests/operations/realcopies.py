"""Copies between two atlases of a real server: what is in them, and what came of it."""

from dataclasses import dataclass
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


def everything(server: Server, atlas_id: str) -> dict[str, Is]:
    """Every dataset of an atlas with everything it has."""
    client = connected(server, atlas_id)
    try:
        return {one.dataset_id: _is(client, one) for one in client.reader.datasets()}
    finally:
        client.close()


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


def history_lengths(server: Server, atlas_id: str) -> dict[str, int]:
    """How many versions each dataset ever had."""
    client = connected(server, atlas_id)
    try:
        return {
            one.dataset_id: len(client.reader.versions(one.dataset_id, include_deleted=True))
            for one in client.reader.datasets()
        }
    finally:
        client.close()


@dataclass
class RealCopies:
    """Runs that copy from one fresh atlas of a server into another."""

    rig: RealRig
    source_id: str
    folder: Path

    @classmethod
    def make(cls, server: Server, folder: Path, *, read_timeout: float = 5.0) -> "RealCopies":
        rig = RealRig(server, folder, read_timeout=read_timeout)
        return cls(rig, server.new_atlas(), folder)

    @property
    def server(self) -> Server:
        return self.rig.server

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
        atlas_id: str | None = None,
    ) -> None:
        """A dataset with its data; of its files the first is linked, and all are tagged."""
        client = connected(self.server, atlas_id or self.source_id)
        identifier = DatasetId(dataset_id)
        try:
            data = client.store.upload(self.local(content), ObjectKey(identifier, extension=".gct"))
            new = NewDataset(
                data_type="Bulk RNAseq",
                metadata={"name": dataset_id, "n": len(content)},
                data_s3_uri=data,
                data_format="gct",
                study_id=StudyId(study_id) if study_id else None,
            )
            made = client.writer.create(identifier, new, STAMP)
            for position, (name, body) in enumerate((files or {}).items()):
                where = client.store.upload(self.local(body), ObjectKey(identifier, file_name=name))
                linked = None if position else made.version_id
                client.writer.attach(
                    identifier,
                    NewFile(
                        file_name=name,
                        file_s3_uri=where,
                        file_format="txt",
                        tag=f"tag of {name}",
                        source_version_id=linked,
                    ),
                )
        finally:
            client.close()

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
        client = connected(self.server, atlas_id or self.source_id)
        try:
            client.writer.update(DatasetId(dataset_id), change, STAMP)
        finally:
            client.close()

    def attach(self, dataset_id: str, name: str, body: bytes) -> None:
        """Somebody attaches a file in the source, or replaces it."""
        client = connected(self.server, self.source_id)
        identifier = DatasetId(dataset_id)
        try:
            where = client.store.upload(self.local(body), ObjectKey(identifier, file_name=name))
            file = NewFile(file_name=name, file_s3_uri=where, file_format="txt", tag="attached")
            client.writer.attach(identifier, file)
        finally:
            client.close()

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
        return everything(self.server, self.source_id)

    @property
    def there(self) -> dict[str, Is]:
        """What is at the destination."""
        return everything(self.server, self.rig.atlas_id)
