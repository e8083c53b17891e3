"""Manifests (one row per item) and lists of ids, streamed, with line numbers.

A manifest is CSV, TSV or JSON lines, by its suffix, with a column ``dataset_id``. How cells are
read stands in ``polly_core.planning.tables``; what the columns ``metadata.*`` and ``data_type``
do stands in ``polly_core.planning.rowpatch``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.rowpatch import is_patch_column, patch_fields
from polly_core.planning.tables import Problems, Row, check_suffix, read_rows
from polly_core.planning.values import shown

ID_COLUMN = "dataset_id"
_MAX_LAYOUTS = 1000
_ID = re.compile(r"[0-9A-Za-z_-]{1,255}")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row: the line it begins on, its dataset, and its other cells."""

    line: int
    dataset_id: DatasetId
    row: JsonObject

    def patch(self) -> JsonObject | None:
        """The cells that say what is to become of the dataset; None where there are none."""
        return {k: v for k, v in self.row.items() if is_patch_column(k)} or None


def read_manifest(path: Path) -> Iterator[ManifestRow]:
    """Rows in the file's order.

    The file's problems are collected while it is read and raised at its end (or after twenty), so
    a caller acts on no row before the last one came.

    Raises:
        InvalidInput: the file cannot be read, or rows are unreadable or contradictory; the
            message has every problem with its line.
    """
    check_suffix(path.name)
    with _open(path) as handle:
        yield from manifest_rows(handle, path.name)


def manifest_rows(handle: BinaryIO, name: str) -> Iterator[ManifestRow]:
    """Rows of an open manifest; its format is told by ``name``. Raises as ``read_manifest``."""
    problems = Problems(name)
    seen = _Seen(problems)
    layouts = _Layouts(problems)
    for row in read_rows(handle, name, problems, required=(ID_COLUMN,)):
        dataset_id = _dataset_id(row, problems)
        if dataset_id is not None and seen.first(row.line, dataset_id):
            cells = {key: value for key, value in row.cells.items() if key != ID_COLUMN}
            layouts.check(row.line, cells)
            yield ManifestRow(row.line, DatasetId(dataset_id), cells)
    problems.raise_any()


def read_ids(path: Path) -> Iterator[DatasetId]:
    """Ids of a file, one per line; empty lines and lines that begin with ``#`` are left out.

    Raises:
        InvalidInput: the file cannot be read, an id is none, or is there twice; every problem is
            named with its line, at the end of the file.
    """
    with _open(path) as handle:
        yield from ids_of(handle, path.name)


def ids_of(lines: Iterable[bytes], name: str) -> Iterator[DatasetId]:
    """Ids of open lines, such as standard input. Raises as ``read_ids``."""
    problems = Problems(name)
    seen = _Seen(problems)
    for number, raw in enumerate(lines, 1):
        text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        dataset_id = text.strip().decode("utf-8", "replace")
        if not dataset_id or dataset_id.startswith("#"):
            continue
        if _check_id(number, dataset_id, problems) and seen.first(number, dataset_id):
            yield DatasetId(dataset_id)
    problems.raise_any()


class _Seen:
    """The lines of the ids so far."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._lines: dict[str, int] = {}

    def first(self, line: int, dataset_id: str) -> bool:
        before = self._lines.setdefault(dataset_id, line)
        if before == line:
            return True
        self._problems.add(
            line, f"dataset {dataset_id} is already in line {before}; keep one of the two"
        )
        return False


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


def _dataset_id(row: Row, problems: Problems) -> str | None:
    value = row.cells.get(ID_COLUMN)
    if value is None or value == "":
        columns = ", ".join(sorted(row.cells)) or "nothing"
        problems.add(row.line, f"expected an id in {ID_COLUMN}, found {columns}")
        return None
    if not isinstance(value, str):
        problems.add(row.line, f"expected a text in {ID_COLUMN}, found {shown(value)}")
        return None
    return value if _check_id(row.line, value, problems) else None


def _check_id(line: int, dataset_id: str, problems: Problems) -> bool:
    if _ID.fullmatch(dataset_id):
        return True
    problems.add(
        line,
        f"{shown(dataset_id)} is no dataset id; expected letters, digits, _ and -, at most 255",
    )
    return False


class _Layouts:
    """Refuses columns that cannot be a patch or contradict each other, once for each layout."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._known: set[tuple[str, ...]] = set()

    def check(self, line: int, cells: JsonObject) -> None:
        data_type = cells.get("data_type", "")
        if not isinstance(data_type, str):
            self._problems.add(line, f"expected a text in data_type, found {shown(data_type)}")
        layout = tuple(cells)
        if layout in self._known:
            return
        # The members of an object differ from row to row, and layouts may be many.
        if "metadata" not in cells and len(self._known) < _MAX_LAYOUTS:
            self._known.add(layout)
        self._check_columns(line, cells)

    def _check_columns(self, line: int, cells: JsonObject) -> None:
        fields: list[tuple[tuple[str, ...], str]] = []
        for column, value in cells.items():
            try:
                fields += [(path.keys, column) for path, _ in patch_fields(column, value)]
            except ValueError as error:
                self._problems.add(line, str(error))
        for (outer, first), (inner, second) in pairwise(sorted(keys for keys in fields if keys[0])):
            if inner[: len(outer)] == outer:
                self._problems.add(
                    line, f"columns {first} and {second} contradict each other; keep one"
                )
