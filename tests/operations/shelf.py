"""A fresh atlas of a real server, with datasets that somebody put there, and runs over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from polly_core.catalog.ports import ObjectKey, Ports
from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import (
    AtlasId,
    DatasetChange,
    DatasetId,
    DatasetRecord,
    FileRecord,
    NewDataset,
    NewFile,
    RunId,
    StudyId,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName, RunOptions, RunSummary
from polly_core.models.selection import Selection
from tests.engine.child import carry_through
from tests.engine.real import RealRig
from tests.support.standing import Server, connected

STAMP = WriteStamp(run_id=RunId("88888888-8888-4888-8888-888888888888"))


class Shelf:
    """Datasets by short names, and what runs made of them."""

    def __init__(self, rig: RealRig, ports: Ports) -> None:
        self.rig = rig
        self.ports = ports
        self.reader = ports.reader

    def put(self, name: str, content: bytes, *, file_name: str = "") -> str:
        """Put an object into the store; its location."""
        path = self.rig.folder / "object"
        path.write_bytes(content)
        extension = "" if file_name else ".gct"
        key = ObjectKey(DatasetId(name), extension=extension, file_name=file_name)
        return self.ports.store.upload(path, key)

    def add(self, name: str, *, study: str | None = None, data: bytes = b"data 1") -> DatasetRecord:
        """A dataset at its first version."""
        new = NewDataset(
            data_type="Bulk RNAseq",
            metadata={"stage": "first", "name": name},
            data_s3_uri=self.put(name, data),
            data_format="gct",
            study_id=StudyId(study) if study else None,
        )
        return self.ports.writer.create(DatasetId(name), new, STAMP)

    def edit(self, name: str, change: DatasetChange) -> DatasetRecord:
        """Somebody's edit."""
        return self.ports.writer.update(DatasetId(name), change, STAMP)

    def second(self, name: str) -> DatasetRecord:
        """Its second version, of metadata."""
        return self.edit(name, DatasetChange(metadata={"stage": "second", "name": name}))

    def attach(
        self, name: str, file_name: str, content: bytes, *, tag: str = "", linked: bool = False
    ) -> FileRecord:
        """Somebody attaches a file."""
        record = self.record(name)
        new = NewFile(
            file_name=file_name,
            file_s3_uri=self.put(name, content, file_name=file_name),
            file_format=file_name.rpartition(".")[2],
            tag=tag or None,
            source_version_id=record.version_id if linked else None,
        )
        return self.ports.writer.attach(record.dataset_id, new)

    def delete(self, name: str) -> None:
        """Somebody deletes it."""
        self.ports.writer.delete(DatasetId(name), STAMP)

    def record(self, name: str) -> DatasetRecord:
        return self.reader.dataset(DatasetId(name))

    def metadata(self, name: str) -> JsonObject:
        return self.reader.metadata(self.record(name))

    def files(self, name: str) -> dict[str, FileRecord]:
        return {file.file_name: file for file in self.reader.files(DatasetId(name))}

    def content(self, location: str) -> bytes:
        target = self.rig.folder / "read"
        self.reader.download(location, target)
        return target.read_bytes()

    def manifest(self, *lines: str) -> Selection:
        """A sheet beside the files that it names."""
        path = self.rig.folder / f"{uuid4().hex}.csv"
        path.write_text("\n".join([*lines, ""]))
        return Selection(manifest_uri=str(path))

    def file(self, name: str, content: bytes) -> Path:
        """A file of the operator's."""
        path = self.rig.folder / name
        path.write_bytes(content)
        return path

    def request(
        self,
        operation: OperationName,
        change: JsonObject,
        selection: Selection | None = None,
        *,
        barrier: bool = False,
        **options: object,
    ) -> RunRequest:
        chosen = {"concurrency": 4, "verify": "full", **options}
        return RunRequest(
            run_id=RunId(str(uuid4())),
            atlas_id=AtlasId(self.rig.atlas_id),
            operation=operation,
            change=change,
            selection=selection or Selection(),
            options=RunOptions.model_validate(chosen),
            barrier=barrier,
        )

    def run(self, request: RunRequest) -> RunSummary:
        """Carry a run out, or take it up."""
        with open_session(request, self.rig.surroundings()) as session:
            return carry_through(session, barrier=request.barrier)

    def rows(self, request: RunRequest) -> dict[tuple[str, str], ItemRow]:
        """The run's items by dataset and file name."""
        return {(row.dataset_id, row.file_name): row for row in self.rig.items(request)}


@contextmanager
def shelf(server: Server, folder: Path, *, read_timeout: float = 5.0) -> Iterator[Shelf]:
    """A fresh one."""
    rig = RealRig(server, folder, read_timeout=read_timeout)
    ports = connected(server, rig.atlas_id)
    try:
        yield Shelf(rig, ports)
    finally:
        ports.close()
