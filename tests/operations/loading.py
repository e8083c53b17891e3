"""Manifests with data files in a folder, and runs that create from them in a catalog in memory."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polly_core.engine.request import RunRequest
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import DatasetId, DatasetRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import OperationName, RunSummary
from polly_core.models.selection import Selection
from polly_core.testing.fake import FakeCatalog
from tests.engine.rig import Rig


def gct_text(samples: Sequence[str] = ("s1", "s2"), *, rows: int = 3, first: float = 0.5) -> str:
    """A GCT file with these columns."""
    head = ["#1.2", f"{rows}\t{len(samples)}", "\t".join(["Name", "Description", *samples])]
    body = (
        "\t".join([f"g{row}", "na", *(str(first + row + at) for at in range(len(samples)))])
        for row in range(rows)
    )
    return "\n".join([*head, *body]) + "\n"


class Loading:
    """A folder with what is to be loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def gct(
        self, name: str, samples: Sequence[str] = ("s1", "s2"), *, rows: int = 3, first: float = 0.5
    ) -> str:
        """A data file; its name."""
        (self.folder / name).write_text(gct_text(samples, rows=rows, first=first))
        return name

    def file(self, name: str, content: str) -> str:
        """Any other file; its name."""
        (self.folder / name).write_text(content)
        return name

    def manifest(self, *rows: JsonObject, name: str = "load.jsonl") -> Path:
        """A manifest beside the files."""
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def sheet(self, text: str, name: str = "load.csv") -> Path:
        """A manifest as people write it; commas stand as bars."""
        path = self.folder / name
        path.write_text(text.replace("|", ","))
        return path


class Creating:
    """Runs of creation over one fake catalog."""

    def __init__(self, folder: Path, fake: FakeCatalog) -> None:
        self.rig = Rig(folder, fake)
        self.fake = fake
        self.files = Loading(folder / "load")

    def request(
        self,
        manifest: Path,
        *,
        barrier: bool = False,
        run: Mapping[str, Any] | None = None,
        **spec: object,
    ) -> RunRequest:
        change: JsonObject = json.loads(json.dumps(spec))
        return self.rig.request(
            operation=OperationName.CREATE,
            change=change,
            selection=Selection(manifest_uri=str(manifest)),
            barrier=barrier,
            **(run or {}),
        )

    def create(
        self,
        manifest: Path,
        *,
        barrier: bool = False,
        run: Mapping[str, Any] | None = None,
        **spec: object,
    ) -> "Ended":
        return self.carry_out(self.request(manifest, barrier=barrier, run=run, **spec))

    def carry_out(self, request: RunRequest) -> "Ended":
        summary = self.rig.run(request)
        return Ended(summary, self.rig.items(request.run_id))

    def standing(self, dataset_id: str) -> tuple[DatasetRecord, JsonObject]:
        record = self.fake.dataset(DatasetId(dataset_id))
        return record, self.fake.metadata(record)

    def content(self, location: str) -> bytes:
        return self.fake.objects.read(location)


class Ended:
    """What a run came to."""

    def __init__(self, summary: RunSummary, rows: list[ItemRow]) -> None:
        self.summary = summary
        self.rows = {str(row.dataset_id): row for row in rows}

    def states(self) -> dict[str, str]:
        return {name: row.state.value for name, row in self.rows.items()}

    def reasons(self, dataset_id: str) -> str:
        return "\n".join(self.rows[dataset_id].reasons)
