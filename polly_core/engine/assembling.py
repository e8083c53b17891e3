"""Data in a Python program, made into a manifest that ``create`` and ``update`` take.

    with new_manifest(Path("load")) as manifest:
        manifest.add("GSE1", gctoo, data_type="Bulk RNAseq", metadata={"organism": "human"})
        manifest.add("GSE2", adata, data_type="Single cell")

What is in memory is written beside the manifest at full precision, one object after the other, so
that memory is that of the largest of them; the run reads the files like any others.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from polly_core.catalog.data import Local, open_data
from polly_core.catalog.envelopes import check_id, check_metadata
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue, Model
from polly_core.planning.cells import written
from polly_core.transport.foreign import local_path
from polly_core.transport.sources import absolute

if TYPE_CHECKING:
    from polly_core.catalog.data import DataArgument

NAME = "manifest.jsonl"


class NewFile(Model):
    """A supplementary file to come with a dataset."""

    path: str
    """A local path or a URI."""
    name: str | None = None
    """None takes the path's last part."""
    format: str | None = None
    """None tells it by the name."""
    tag: str | None = None
    link: bool = False
    """It goes when the data is replaced."""


class NewManifest:
    """A manifest in the making. Each dataset is added once."""

    def __init__(self, folder: Path, stream: IO[str]) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._stream = stream
        self._ids: set[str] = set()

    def add(
        self,
        dataset_id: str,
        data: "DataArgument | None" = None,
        *,
        data_type: str | None = None,
        metadata: JsonObject | None = None,
        study_id: str | None = None,
        data_format: str | None = None,
        files: Sequence[NewFile] = (),
    ) -> None:
        """One row. A path or URI is referred to where it is; an object is written to a file.

        Args:
            data: a path, a URI, a GCToo or an AnnData; None in an update of something else.
            metadata: of a new dataset all of it; in an update the fields that change.

        Raises:
            InvalidInput: the id is none or was added before, or the data cannot be written.
            CannotProceed: there is no room for it.
        """
        check_id(dataset_id, "dataset_id")
        if dataset_id in self._ids:
            raise InvalidInput(f"dataset {dataset_id} was added before; each has one row")
        row: JsonObject = {"dataset_id": dataset_id}
        given = {"data_type": data_type, "study_id": study_id, "data_format": data_format}
        row.update({name: value for name, value in given.items() if value is not None})
        if metadata is not None:
            check_metadata(metadata)
            # Of texts that look like a mark of manifests, the escaped ones are no marks.
            row["metadata"] = {key: written(value) for key, value in metadata.items()}
        if data is not None:
            row["data"] = self._placed(dataset_id, data)
        if files:
            row["files"] = [_file(file) for file in files]
        self._stream.write(json.dumps(row, allow_nan=False) + "\n")
        self._ids.add(dataset_id)

    def _placed(self, dataset_id: str, data: "DataArgument") -> str:
        if isinstance(data, str | os.PathLike):
            return _anywhere(os.fspath(data))
        try:
            with open_data(data, None) as made:
                # Of an object it is a temporary file, which is ours to take.
                assert isinstance(made, Local)
                target = self._folder / f"{dataset_id}{made.extension}"
                shutil.move(made.path, target)
        except OSError as error:
            raise CannotProceed(
                f"dataset {dataset_id}: its data cannot be written to {self._folder}: "
                f"{error.strerror or error}"
            ) from error
        return target.name


@contextmanager
def new_manifest(folder: Path) -> Iterator[NewManifest]:
    """A manifest in this folder, which is made where it is missing.

    It appears under its name when the block ended well, and not at all otherwise.

    Raises:
        InvalidInput: there is one already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / NAME, folder / f"{NAME}.part"
    if path.exists():
        raise InvalidInput(f"{path} is there already; choose another folder, or remove it")
    try:
        with part.open("w", encoding="utf-8") as stream:
            yield NewManifest(folder.resolve(), stream)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _file(file: NewFile) -> JsonValue:
    row: JsonObject = file.model_dump(mode="json", exclude_none=True)
    return {**row, "path": _anywhere(file.path)}


def _anywhere(uri: str) -> str:
    """The same place, wherever the manifest stands."""
    return absolute(uri) if local_path(uri) is not None else uri
