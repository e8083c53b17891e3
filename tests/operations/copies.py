"""Copies between two atlases in memory, and what they made of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from polly_core.engine.request import RunRequest
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import CopyOnExisting
from polly_core.models.run import OperationName, RunSummary, Verify
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from tests.engine.rig import Rig

SOURCE, TARGET = "8", "9"


class FileSeen(NamedTuple):
    """A supplementary file, by content."""

    content: bytes
    file_format: str
    tag: str | None
    linked: bool


class Seen(NamedTuple):
    """A dataset as a reader finds it, by content."""

    metadata: JsonObject
    data: bytes
    data_type: str
    data_format: str
    study_id: str | None
    files: dict[str, FileSeen]


def seen(fake: FakeCatalog, dataset_id: str) -> Seen:
    """A dataset with everything it has."""
    record = fake.dataset(DatasetId(dataset_id))
    files = {
        file.file_name: FileSeen(
            fake.objects.read(file.file_location),
            file.file_format,
            file.tag,
            file.derived_from == record.data_location,
        )
        for file in fake.files(record.dataset_id)
    }
    return Seen(
        fake.metadata(record),
        fake.objects.read(record.data_location),
        record.data_type,
        record.data_format,
        record.study_id,
        files,
    )


@dataclass
class Copies:
    """Runs that copy from one atlas into another of the same service."""

    rig: Rig
    source: FakeCatalog
    target: FakeCatalog

    @classmethod
    def make(cls, folder: Path, *, enforce_versions: bool = True) -> "Copies":
        target = FakeCatalog(TARGET, enforce_versions=enforce_versions)
        return cls(Rig(folder, target), target.another(SOURCE), target)

    def request(
        self,
        existing: str = "fail",
        *,
        selection: Selection | None = None,
        barrier: bool = False,
        from_atlas: str = SOURCE,
        spec: JsonObject | None = None,
        verify: Verify = Verify.AUTO,
    ) -> RunRequest:
        return self.rig.request(
            operation=OperationName.COPY,
            change={
                "from_atlas": from_atlas,
                "existing": CopyOnExisting(existing).value,
                **(spec or {}),
            },
            selection=selection,
            barrier=barrier,
            verify=verify,
        )

    def run(self, existing: str = "fail", **asked: object) -> RunSummary:
        """Copy, or copy again."""
        return self.rig.run(self.request(existing, **asked))  # type: ignore[arg-type]

    def reasons(self, summary: RunSummary) -> dict[str, tuple[str, ...]]:
        """Why items were left alone or refused."""
        return {row.dataset_id: row.reasons for row in self.rig.items(summary.run_id)}

    def fill(self) -> None:
        """Three datasets: with files and a study, with nothing, with a file of its own."""
        self.source.add("A", {"organism": "human"}, study_id="S1", data=b"a" * 2000)
        self.source.add_file("A", "qc.html", tag="report", linked=True, content=b"q" * 2000)
        self.source.add_file("A", "notes.txt", content=b"n")
        self.source.add("B", {}, data_type="Single cell")
        self.source.add("C", {"n": 1, "nested": {"x": [1, 2]}}, study_id="S1")
        self.source.add_file("C", "sdrf.tsv", tag="sdrf")
