"""One small run of every operation: what it starts from, what is asked for, how it ends.

They are written against the ports of a catalog, so that the same ones play in memory and on a real
server.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from polly_core.catalog.ports import ObjectKey, Ports
from polly_core.engine.request import RunRequest
from polly_core.errors import NotFound
from polly_core.models.catalog import (
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
from polly_core.models.run import ItemState, OperationName, RunSummary
from polly_core.models.selection import Selection
from tests.operations.loading import Loading, gct_text

STAMP = WriteStamp(run_id=RunId("99999999-9999-4999-8999-999999999999"))
"""Of what others did before."""
APPLIED, UNCHANGED = ItemState.APPLIED, ItemState.UNCHANGED
INVALID = ItemState.INVALID


class Site(Protocol):
    """Where a scenario plays."""

    @property
    def ports(self) -> Ports:
        """The atlas that is written."""
        ...

    @property
    def source(self) -> Ports:
        """Another atlas of the same service, which copies are made from."""
        ...

    @property
    def folder(self) -> Path:
        """Of the site's own."""
        ...

    def ask(
        self,
        operation: OperationName,
        asked: "Asked",
        *,
        barrier: bool = False,
        **options: object,
    ) -> RunRequest:
        """A new run."""
        ...

    def run(self, request: RunRequest) -> RunSummary:
        """Carry a run out, or take it up."""
        ...


class Asked(NamedTuple):
    """What a run is to do."""

    change: JsonObject
    selection: Selection = Selection()


@dataclass(frozen=True)
class Scenario:
    """One run of an operation."""

    name: str
    operation: OperationName
    prepare: Callable[[Site], Asked]
    """Makes the datasets that it starts from."""
    ended: Mapping[ItemState, int]
    """Its items by outcome, where nobody disturbs it."""

    def request(self, site: Site, *, barrier: bool = False, **options: object) -> RunRequest:
        """Everything made ready at a site, and the run that is asked for."""
        return site.ask(self.operation, self.prepare(site), barrier=barrier, **options)


@dataclass(frozen=True)
class File:
    """A supplementary file to be there."""

    content: str = "file\n"
    tag: str | None = None
    linked: bool = False


@dataclass
class Stock:
    """Puts datasets into an atlas, as other people would."""

    ports: Ports
    folder: Path
    made: dict[str, DatasetRecord] = field(default_factory=dict)

    def add(
        self,
        name: str,
        metadata: JsonObject | None = None,
        *,
        data: str = "",
        study: str | None = None,
        files: Mapping[str, File] | None = None,
    ) -> DatasetRecord:
        """A dataset with data, and files."""
        new = NewDataset(
            data_type="Bulk RNAseq",
            metadata={"organism": "human", "name": name} if metadata is None else metadata,
            data_s3_uri=self.object(name, data or gct_text(), ".gct"),
            data_format="gct",
            study_id=StudyId(study) if study else None,
        )
        made = self.ports.writer.create(DatasetId(name), new, STAMP)
        for file_name, file in (files or {}).items():
            self.attach(name, file_name, file)
        return made

    def attach(self, name: str, file_name: str, file: File) -> None:
        """A supplementary file, linked to the data as it stands where it is to be."""
        record = self.ports.reader.dataset(DatasetId(name))
        new = NewFile(
            file_name=file_name,
            file_s3_uri=self.object(name, file.content, file_name=file_name),
            file_format=file_name.rpartition(".")[2],
            tag=file.tag,
            source_version_id=record.version_id if file.linked else None,
        )
        self.ports.writer.attach(record.dataset_id, new)

    def edit(self, name: str, change: DatasetChange) -> DatasetRecord:
        """Somebody's edit."""
        return self.ports.writer.update(DatasetId(name), change, STAMP)

    def delete(self, name: str) -> None:
        """Somebody deletes it."""
        self.ports.writer.delete(DatasetId(name), STAMP)

    def object(self, name: str, content: str, extension: str = "", *, file_name: str = "") -> str:
        """An object of a dataset; its location."""
        path = self.folder / "object"
        path.write_text(content)
        key = ObjectKey(DatasetId(name), extension=extension, file_name=file_name)
        return self.ports.store.upload(path, key)


def _stock(site: Site) -> Stock:
    return Stock(site.ports, site.folder)


def _ids(names: str) -> Selection:
    return Selection(ids=tuple(names))


def _rows(loading: Loading, rows: Sequence[JsonObject]) -> Selection:
    return Selection(manifest_uri=str(loading.manifest(*rows)))


def _create(site: Site) -> Asked:
    """New ids, one that lived before, one that lives and becomes another, one that is broken."""
    stock, loading = _stock(site), Loading(site.folder / "load")
    stock.add("C")
    stock.delete("C")
    stock.add("D", study="S0", files={"old.txt": File("old", "qc", linked=True)})
    rows: list[JsonObject] = []
    for number, name in enumerate("ABCD", 1):
        loading.file(f"{name}.txt", f"notes on {name}\n")
        rows.append(
            {
                "dataset_id": name,
                "data_type": "Bulk RNAseq",
                "data": loading.gct(f"{name}.gct", first=number),
                "metadata": {"n": number, "sample_ids": ["s1", "s2"]},
                "study_id": "S1",
                "files": [{"path": f"{name}.txt", "tag": "notes", "link": name != "B"}],
            }
        )
    rows.append({"dataset_id": "E", "data_type": "Bulk RNAseq", "data": "absent.gct"})
    return Asked({"existing": "update-if-different"}, _rows(loading, rows))


def _update(site: Site) -> Asked:
    stock = _stock(site)
    for name in "ABCD":
        stock.add(name, {"organism": "human", "name": name}, study="S1")
    stock.add("E", {"organism": "Homo sapiens", "reviewed": True, "name": "E"})
    stock.add("F", {"organism": "unicorn"})
    human: JsonObject = {
        "map": "organism",
        "vocabulary": {"human": "Homo sapiens", "Homo sapiens": "Homo sapiens"},
        "unmatched": "fail",
    }
    return Asked(
        {
            "steps": [
                human,
                {"set": "reviewed", "value": True},
                {"set": "@data_type", "value": "Single cell", "when": "metadata.name == 'C'"},
            ]
        }
    )


def _data(site: Site) -> Asked:
    """Other data with and without other metadata; files linked to what was there go."""
    stock, loading = _stock(site), Loading(site.folder / "load")
    linked = {"linked.txt": File("linked", "qc", linked=True), "free.txt": File("free")}
    stock.add("A", study="S1", files=linked)
    stock.add("B", files={"linked.txt": File("linked", linked=True)})
    stock.add("C")
    stock.add("D")
    rows: list[JsonObject] = [
        {"dataset_id": "A", "data": loading.gct("A.gct", first=7)},
        {"dataset_id": "B", "data": loading.gct("B.gct", first=8), "metadata": {"organism": "x"}},
        {"dataset_id": "C", "data": loading.gct("C.gct")},
        {"dataset_id": "D", "metadata": {"organism": "y"}},
    ]
    return Asked({}, _rows(loading, rows))


def _rollback(site: Site) -> Asked:
    """To other metadata, to other data, back to life; one was never anything else."""
    stock = _stock(site)
    stock.add("A", study="S1")
    stock.edit("A", DatasetChange(metadata={"edited": True}, data_type="Single cell"))
    stock.add("B")
    stock.edit("B", DatasetChange(data_s3_uri=stock.object("B", gct_text(first=3), ".v2.gct")))
    stock.attach("B", "linked.txt", File("linked", "qc", linked=True))
    stock.add("C", study="S1")
    stock.delete("C")
    stock.add("D")
    return Asked({"back": 1}, _ids("ABCD"))


def _copy(site: Site) -> Asked:
    """New ones, one onto another state, one that is equal already."""
    there, here = _stock(site), Stock(site.source, site.folder)
    files = {"linked.txt": File("linked", "qc", linked=True), "free.txt": File("free")}
    here.add("A", data=gct_text(first=5), study="S1", files=files)
    here.add("B", {"from": "source"}, data=gct_text(first=6), files={"b.txt": File("b")})
    only_there = {"old.txt": File("old", linked=True), "mine.txt": File("mine", "kept")}
    there.add("B", study="S0", files=only_there)
    for stock in (here, there):
        stock.add("C")
    here.add("D", study="S2")
    catalog = site.source.reader.catalog
    return Asked({"from_atlas": catalog.atlas_id, "existing": "overwrite"})


def _ingest(site: Site) -> Asked:
    stock, loading = _stock(site), Loading(site.folder / "load")
    for name in "ABCD":
        stock.add(name)
    rows: list[JsonObject] = [
        {"dataset_id": "A"},
        {"dataset_id": "B", "priority": "high"},
        {"dataset_id": "C", "priority": "low"},
        {"dataset_id": "D"},
    ]
    return Asked({"flags": {"file_metadata": False}}, _rows(loading, rows))


def _delete(site: Site) -> Asked:
    """With study and files, whose bytes are saved; one is gone already."""
    stock = _stock(site)
    files = {"linked.txt": File("linked", "qc", linked=True), "free.txt": File("free")}
    stock.add("A", study="S1", files=files)
    stock.add("B")
    stock.add("C")
    stock.delete("C")
    stock.add("D", files={"d.txt": File("d")})
    return Asked({"save_bytes": True}, _ids("ABCD"))


def _attach(site: Site) -> Asked:
    """New files, linked and not; one in the place of another; one that is there."""
    stock, loading = _stock(site), Loading(site.folder / "load")
    stock.add("A")
    stock.add("B", files={"b.txt": File("old", "kept", linked=True)})
    stock.add("C", files={"c.txt": File("same")})
    for name, content in (("a.csv", "1,2\n"), ("a.txt", "a"), ("b.txt", "new"), ("c.txt", "same")):
        loading.file(name, content)
    sheet = "dataset_id|file|tag|link\nA|a.csv|raw|true\nA|a.txt||\nB|b.txt||\nC|c.txt||\n"
    selection = Selection(manifest_uri=str(loading.sheet(sheet)))
    return Asked({"existing": "replace", "save_bytes": True}, selection)


def _detach(site: Site) -> Asked:
    """Two files of one dataset, one of another, and one that was never there."""
    stock, loading = _stock(site), Loading(site.folder / "load")
    both = {"linked.txt": File("linked", "qc", linked=True), "free.txt": File("free")}
    stock.add("A", files=both)
    stock.add("B", files=both)
    stock.add("C")
    sheet = "dataset_id|file_name\nA|linked.txt\nA|free.txt\nB|free.txt\nC|free.txt\n"
    selection = Selection(manifest_uri=str(loading.sheet(sheet)))
    return Asked({"save_bytes": True}, selection)


def _study(site: Site) -> Asked:
    stock = _stock(site)
    for name, study in (("A", "S1"), ("B", None), ("C", "S2"), ("D", "S3")):
        stock.add(name, study=study)
    return Asked({"study_id": "S2"})


CREATE = Scenario("create", OperationName.CREATE, _create, {APPLIED: 4, INVALID: 1})
UPDATE = Scenario(
    "update", OperationName.UPDATE, _update, {APPLIED: 4, UNCHANGED: 1, INVALID: 1}
)  # fmt: skip
DATA = Scenario("data", OperationName.UPDATE, _data, {APPLIED: 3, UNCHANGED: 1})
ROLLBACK = Scenario("rollback", OperationName.ROLLBACK, _rollback, {APPLIED: 3, INVALID: 1})
COPY = Scenario("copy", OperationName.COPY, _copy, {APPLIED: 3, UNCHANGED: 1})
INGEST = Scenario("ingest", OperationName.INGEST, _ingest, {APPLIED: 4})
DELETE = Scenario("delete", OperationName.DELETE, _delete, {APPLIED: 3, UNCHANGED: 1})
ATTACH = Scenario("attach", OperationName.ATTACH, _attach, {APPLIED: 3, UNCHANGED: 1})
DETACH = Scenario("detach", OperationName.DETACH, _detach, {APPLIED: 3, INVALID: 1})
STUDY = Scenario("study", OperationName.STUDY, _study, {APPLIED: 3, UNCHANGED: 1})


def undo_of(base: Scenario) -> Scenario:
    """The undo of a run that nobody disturbed."""

    def prepare(site: Site) -> Asked:
        done = site.run(base.request(site))
        assert done.counts.by_state == base.ended
        return Asked({"run_id": done.run_id}, Selection(written_by=done.run_id))

    written = {APPLIED: base.ended[APPLIED]}
    return Scenario(f"undo-{base.name}", OperationName.UNDO, prepare, written)


UNDONE = (CREATE, UPDATE, DATA, ROLLBACK, COPY, DELETE, ATTACH, DETACH, STUDY)
"""Everything that can be taken back."""
FORWARD = (CREATE, UPDATE, DATA, ROLLBACK, COPY, INGEST, DELETE, ATTACH, DETACH, STUDY)
SCENARIOS = (*FORWARD, *map(undo_of, UNDONE))


class FileStands(NamedTuple):
    """A supplementary file as it stands."""

    key: str
    size: int
    etag: str
    file_format: str
    tag: str | None
    linked: bool


class Stands(NamedTuple):
    """A dataset as it stands, as far as it is the same wherever it went through the same."""

    metadata: JsonObject
    data: tuple[str, int, str]
    """Key, size and tag of the object."""
    data_type: str
    data_format: str
    study_id: str | None
    files: dict[str, FileStands]


def standing(ports: Ports) -> dict[str, Stands]:
    """Every dataset that lives in an atlas."""
    return {one.dataset_id: stands(ports, one) for one in ports.reader.datasets()}


def stands(ports: Ports, record: DatasetRecord) -> Stands:
    """One of them."""
    reader = ports.reader
    files: dict[str, FileStands] = {}
    for file in reader.files(record.dataset_id):
        stat = reader.stat(file.file_location)
        linked = file.derived_from == record.data_location
        files[file.file_name] = FileStands(
            _key(file.file_location), stat.size, stat.etag, file.file_format, file.tag, linked
        )
    stat = reader.stat(record.data_location)
    return Stands(
        metadata=reader.metadata(record),
        data=(_key(record.data_location), stat.size, stat.etag),
        data_type=record.data_type,
        data_format=record.data_format,
        study_id=record.study_id,
        files=files,
    )


def _key(location: str) -> str:
    """Where an object is within its atlas."""
    return location.partition("?")[0].split("/", 4)[4]


def versions(ports: Ports, ids: str = "ABCDEF") -> dict[str, int]:
    """How many versions each dataset ever had, deleted ones included."""
    found: dict[str, int] = {}
    for name in ids:
        try:
            found[name] = len(ports.reader.versions(DatasetId(name), include_deleted=True))
        except NotFound:
            found[name] = 0
    return found
