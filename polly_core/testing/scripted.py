"""The scripted side of the fake: what a test puts there and orders to go wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from polly_core.catalog.ports import ObjectKey
from polly_core.catalog.store import object_name
from polly_core.errors import CatalogError, StorageError
from polly_core.models.catalog import (
    AtlasId,
    DatasetChange,
    DatasetId,
    DatasetRecord,
    FileRecord,
    NewDataset,
    NewFile,
    StudyId,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.testing.faults import (
    ChooseFault,
    Fault,
    Script,
    StoreFault,
    TransferCall,
    WriteCall,
    WriteKind,
    error_of,
)
from polly_core.testing.memory import MemoryAtlas
from polly_core.testing.objects import BUCKET, MemoryObjects
from polly_core.transport.s3uri import S3Uri

T = TypeVar("T")


class Scripted:
    """What a test does to an atlas in memory, and what it is told to go wrong there."""

    def __init__(self, atlas_id: str, atlas: MemoryAtlas, choose_fault: ChooseFault) -> None:
        self.writes: list[WriteCall] = []
        """Every write that arrived, in order."""
        self.transfers: list[TransferCall] = []
        """Every upload and copy that went well, in order."""
        self.reads = 0
        """Every read that arrived, faulty ones included."""
        self._atlas_id = AtlasId(atlas_id)
        self._atlas = atlas
        self._choose_fault = choose_fault
        self._lock = atlas.objects.lock
        self._late: list[Callable[[], object]] = []
        self._write_faults: Script[tuple[Fault | CatalogError, float | None]] = Script()
        self._read_faults: Script[CatalogError | StorageError] = Script()
        self._store_faults: Script[StoreFault] = Script()
        self._before: Script[Callable[[], object]] = Script()
        self._after: Script[Callable[[], object]] = Script()

    @property
    def objects(self) -> MemoryObjects:
        """The objects of every atlas of the service."""
        return self._atlas.objects

    def add(
        self,
        dataset_id: str,
        metadata: JsonObject | None = None,
        *,
        data_type: str = "Bulk RNAseq",
        data: bytes | None = None,
        study_id: str | None = None,
    ) -> DatasetRecord:
        """A new dataset, or a new life of a deleted one. Raises ``Conflict`` where it is alive."""
        identifier = DatasetId(dataset_id)
        content = f"data of {dataset_id}".encode() if data is None else data
        with self._lock:
            location = self.put_object(ObjectKey(identifier, extension=".gct"), content)
            new = NewDataset(
                data_type=data_type,
                metadata=metadata or {},
                data_s3_uri=location,
                data_format="gct",
                study_id=None if study_id is None else StudyId(study_id),
            )
            return self._atlas.create(identifier, new)

    def edit(self, dataset_id: str, change: DatasetChange) -> DatasetRecord:
        """Someone else's edit: it happens at once and is in no log of ours."""
        with self._lock:
            if change.data_s3_uri is not None:
                self.objects.ensure(change.data_s3_uri)
            return self._atlas.change(DatasetId(dataset_id), change)

    def remove(self, dataset_id: str) -> None:
        """Someone deletes a dataset. Raises ``NotFound``."""
        with self._lock:
            self._atlas.delete(DatasetId(dataset_id))

    def add_file(
        self,
        dataset_id: str,
        file_name: str,
        *,
        tag: str | None = None,
        linked: bool = False,
        content: bytes = b"file\n",
    ) -> FileRecord:
        """Someone attaches a file, linked to the current data if wanted. Raises ``NotFound``."""
        identifier = DatasetId(dataset_id)
        with self._lock:
            current = self._atlas.record(identifier)
            new = NewFile(
                file_name=file_name,
                file_s3_uri=self.put_object(ObjectKey(identifier, file_name=file_name), content),
                file_format=file_name.rpartition(".")[2],
                tag=tag,
                source_version_id=current.version_id if linked else None,
            )
            return self._atlas.attach(identifier, new)

    def remove_file(self, dataset_id: str, file_name: str) -> None:
        """Someone removes a file. Raises ``NotFound``."""
        with self._lock:
            self._atlas.detach(DatasetId(dataset_id), file_name)

    def put_object(self, key: ObjectKey, content: bytes) -> str:
        """Someone puts an object into the store; its pinned location."""
        with self._lock:
            return self.objects.put(self.place(key), content)

    def place(self, key: ObjectKey) -> S3Uri:
        """Where an object of this atlas belongs."""
        return S3Uri(BUCKET, f"{self._atlas_id}/v2/{object_name(key)}")

    def fail_write(
        self,
        fault: Fault | CatalogError,
        dataset_id: str | None = None,
        *,
        kind: WriteKind | None = None,
        times: int = 1,
        retry_after: float | None = None,
    ) -> None:
        """Let the next writes (to one dataset or any, of one kind or any) go wrong."""
        with self._lock:
            self._write_faults.add((fault, retry_after), dataset_id, times, kind=kind)

    def forget_faults(self) -> None:
        """Let nothing that was told so far go wrong any more."""
        with self._lock:
            self._write_faults = Script()
            self._read_faults = Script()
            self._store_faults = Script()

    def fail_read(
        self, error: CatalogError | StorageError, dataset_id: str | None = None, *, times: int = 1
    ) -> None:
        """Let the next reads (of one dataset, or any, pages and objects included) raise it."""
        with self._lock:
            self._read_faults.add(error, dataset_id, times)

    def fail_store(
        self,
        error: CatalogError | StorageError,
        dataset_id: str | None = None,
        *,
        times: int = 1,
        stored: bool = False,
    ) -> None:
        """Let the next uploads and copies raise it, before or after the object is ``stored``."""
        with self._lock:
            self._store_faults.add(StoreFault(error, stored), dataset_id, times)

    def before_write(
        self, dataset_id: str, act: Callable[[], object], *, kind: WriteKind | None = None
    ) -> None:
        """Let something happen just before the next write to a dataset is looked at."""
        with self._lock:
            self._before.add(act, dataset_id, kind=kind)

    def after_write(
        self, dataset_id: str, act: Callable[[], object], *, kind: WriteKind | None = None
    ) -> None:
        """Let something happen right after the next write to a dataset happened."""
        with self._lock:
            self._after.add(act, dataset_id, kind=kind)

    def edit_before_write(self, dataset_id: str, change: DatasetChange) -> None:
        """Let someone else edit the dataset just before the next write to it is looked at."""
        self.before_write(dataset_id, lambda: self.edit(dataset_id, change))

    def edit_after_write(self, dataset_id: str, change: DatasetChange) -> None:
        """Let someone else edit the dataset right after the next write to it happened."""
        self.after_write(dataset_id, lambda: self.edit(dataset_id, change))

    def deliver_late(self) -> int:
        """Let every late write happen now, as far as it still can; how many did."""
        with self._lock:
            late, self._late = self._late, []
            return sum(_delivered(act) for act in late)

    def _write(self, call: WriteCall, act: Callable[[], T]) -> T:
        """One write, with everything that was told to happen to it."""
        with self._lock:
            told = self._write_faults.take(call.dataset_id, call.kind)
            chosen = self._choose_fault(call.dataset_id, len(self.writes) + 1)
            fault, retry_after = told or (chosen, None)
            self.writes.append(replace(call, fault=fault))
            _run(self._before.take(call.dataset_id, call.kind))
            if fault is Fault.LATE:
                self._late.append(act)
            if fault is not None and fault is not Fault.LOST_ANSWER:
                raise error_of(fault, retry_after)
            result = act()
            _run(self._after.take(call.dataset_id, call.kind))
            if fault is not None:
                raise error_of(fault)
            return result

    def _transfer(self, key: ObjectKey, content: bytes, *, anew: bool = False) -> str:
        """One object into the store, unless it is there."""
        place = self.place(key)
        fault = self._store_faults.take(key.dataset_id)
        if fault is not None and not fault.stored:
            raise fault.error
        present = None if anew else self.objects.present(place, content)
        location = present or self.objects.put(place, content)
        if fault is not None:
            raise fault.error
        self.transfers.append(TransferCall(key, location, sent=present is None))
        return location

    @contextmanager
    def _reading(self, dataset_id: str | None) -> Iterator[None]:
        with self._lock:
            self.reads += 1
            error = self._read_faults.take(dataset_id)
            if error is not None:
                raise error
            yield


def _run(act: Callable[[], object] | None) -> None:
    if act is not None:
        act()


def _delivered(act: Callable[[], object]) -> bool:
    try:
        act()
    except CatalogError:
        return False
    return True
