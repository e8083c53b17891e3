"""What runs of a random history are asked to do, of every operation, over a few datasets."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from tests.operations.loading import gct_text
from tests.operations.scenarios import Asked

IDS = "ABCD"
NEW = "E"
"""Not there in the beginning."""


def fill(fake: FakeCatalog) -> None:
    """Datasets with and without files and studies; another atlas with other states of them."""
    for name in IDS:
        study = "S1" if name in "AB" else None
        fake.add(name, {"organism": "human", "name": name}, study_id=study)
    fake.add_file("A", "A.txt", tag="kept", linked=True, content=b"linked to A")
    fake.add_file("A", "free.txt", content=b"free")
    fake.add_file("B", "B.txt", content=b"of B")
    source = fake.another("8")
    for name in IDS + NEW:
        source.add(name, {"organism": "copied", "n": 1}, data=f"copied {name}".encode())
    source.add_file("A", "A.txt", tag="copied", linked=True, content=b"copied file")
    source.add_file("C", "C.txt", content=b"copied file")


@dataclass(frozen=True)
class Chore:
    """One run to be."""

    operation: OperationName
    ids: tuple[str, ...]
    value: str
    """What it sets; also which data and files it brings."""
    choice: int
    """Between ways to do it."""

    def asked(self, folder: Path) -> Asked:
        """Description and selection. Files that it refers to are written below the folder."""
        folder = folder / f"{self.operation}-{self.value}-{self.choice}"
        folder.mkdir(exist_ok=True)
        match self.operation:
            case OperationName.CREATE:
                existing = ("skip", "update", "update-if-different")[self.choice % 3]
                return Asked({"existing": existing}, self._rows(folder, self._new))
            case OperationName.UPDATE if self.choice % 2:
                return Asked({}, self._rows(folder, self._data))
            case OperationName.ATTACH:
                change: JsonObject = {"existing": ("replace", "skip")[self.choice % 2]}
                return Asked(change, self._rows(folder, self._file))
            case OperationName.DETACH:
                return Asked({}, self._rows(folder, self._named))
            case _:
                return Asked(self._change(), Selection(ids=self.ids))

    def _change(self) -> JsonObject:
        match self.operation:
            case OperationName.UPDATE:
                kinds: list[JsonObject] = [
                    {"set": "organism", "value": self.value},
                    {"set": "reviewed", "value": True},
                    {"set": "@data_type", "value": self.value},
                ]
                return {"steps": [*kinds[: 1 + self.choice // 2 % 3]]}
            case OperationName.ROLLBACK:
                return {"back": 1 + self.choice % 2}
            case OperationName.COPY:
                kinds_of = ("overwrite", "promote", "skip", "newer")
                return {"from_atlas": "8", "existing": kinds_of[self.choice % 4]}
            case OperationName.DELETE:
                return {"save_bytes": self.choice % 2 == 0}
            case OperationName.STUDY:
                return {"leave": True} if self.choice % 4 == 0 else {"study_id": self.value}
            case _:
                return {}

    def _rows(self, folder: Path, row: Callable[[Path, str], JsonObject]) -> Selection:
        path = folder / f"{''.join(self.ids)}.jsonl"
        path.write_text("".join(json.dumps(row(folder, name)) + "\n" for name in self.ids))
        return Selection(manifest_uri=str(path))

    def _new(self, folder: Path, name: str) -> JsonObject:
        row = self._data(folder, name)
        row |= {"data_type": "Bulk RNAseq", "metadata": {"organism": self.value, "made": True}}
        if self.choice // 3 % 2:
            row |= {"files": [{**self._local(folder, name), "link": True}], "study_id": self.value}
        return row

    def _data(self, folder: Path, name: str) -> JsonObject:
        # A short way to as many contents as there are values.
        (folder / "data.gct").write_text(gct_text(first=sum(map(ord, self.value)) + 0.5))
        row: JsonObject = {"dataset_id": name, "data": "data.gct"}
        if self.choice // 2 % 2:
            row["metadata"] = {"organism": self.value}
        return row

    def _file(self, folder: Path, name: str) -> JsonObject:
        path = self._local(folder, name)["path"]
        linked = self.choice // 2 % 2 == 1
        return {"dataset_id": name, "file": path, "tag": self.value, "link": linked}

    def _local(self, folder: Path, name: str) -> JsonObject:
        (folder / f"{name}.txt").write_text(f"{self.value} of {name}")
        return {"path": f"{name}.txt"}

    def _named(self, _folder: Path, name: str) -> JsonObject:
        return {"dataset_id": name, "file_name": f"{name}.txt"}
