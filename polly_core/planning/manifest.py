"""Manifests (one row per item) and lists of ids, streamed, with line numbers.

A manifest is CSV, TSV, JSON lines or Parquet, by its suffix, with a column ``dataset_id``. What
cells mean stands in ``polly_core.planning.cells``, what the columns ``metadata.*`` and
``data_type`` do in ``polly_core.planning.rowpatch``, what ``base_version`` does in
``polly_core.planning.editing``. The columns in ``TEXT_COLUMNS`` are for operations; columns that
nobody knows are carried along.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetId
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.cells import (
    NULL_MARK,
    Column,
    looks_like_a_mark,
    meaning,
    metadata_cell,
    of_kind,
    plain_cell,
    written,
)
from polly_core.planning.editing import BASE_COLUMN
from polly_core.planning.rowpatch import PREFIX, is_patch_column, patch_fields
from polly_core.planning.tables import Problems, Row, check_suffix, read_columns, read_rows
from polly_core.planning.values import shown
from polly_core.transport.foreign import file_name

ID_COLUMN = "dataset_id"
FILE_COLUMN = "file_name"
PATH_COLUMN = "file"
LINK_COLUMN = "link"
BY_DATASET = (ID_COLUMN,)
BY_FILE = (ID_COLUMN, FILE_COLUMN)
TEXT_COLUMNS = frozenset(
    {"data", "data_format", "data_type", "file", "file_format", "from_dataset_id", "metadata_file",
     "study_id", "tag", "version_id", FILE_COLUMN, BASE_COLUMN}
)  # fmt: skip
"""Columns that an operation reads, as text. ``link`` is true or false."""
_MAY_BE_NULL = frozenset({"study_id", "tag"})
# What writes JSON lines from a table often writes null for an empty cell.
_NULL_IS_NOTHING = (TEXT_COLUMNS | {LINK_COLUMN}) - _MAY_BE_NULL - {"data_type"}
_MAX_LAYOUTS = 1000
_MAX_NAMED = 10
_ID = re.compile(r"[0-9A-Za-z_-]{1,255}")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row: the line it begins on, its dataset, and its other cells."""

    line: int
    dataset_id: DatasetId
    row: JsonObject
    file_name: str = ""

    def patch(self) -> JsonObject | None:
        """The cells that say what is to become of the dataset; None where there are none."""
        return {k: v for k, v in self.row.items() if is_patch_column(k)} or None


def read_manifest(path: Path, *, key: Sequence[str] = BY_DATASET) -> Iterator[ManifestRow]:
    """Rows in the file's order.

    The file's problems are collected while it is read and raised at its end (or after twenty), so
    a caller acts on no row before the last one came.

    Args:
        key: the columns that tell the rows apart: ``BY_DATASET``, or ``BY_FILE`` where a dataset
            may have several rows. A row without a file name has that of its ``file``.

    Raises:
        InvalidInput: the file cannot be read, or rows are unreadable or contradictory; the
            message has every problem with its line.
    """
    check_suffix(path.name)
    with _open(path) as handle:
        yield from manifest_rows(handle, path.name, key=key)


def manifest_rows(
    handle: BinaryIO, name: str, *, key: Sequence[str] = BY_DATASET
) -> Iterator[ManifestRow]:
    """Rows of an open manifest; its format is told by ``name``. Raises as ``read_manifest``."""
    problems = Problems(name)
    seen = _Seen(problems)
    layouts = _Layouts(problems)
    by_file = FILE_COLUMN in key
    for row in read_rows(handle, name, problems, required=BY_DATASET, cell=_cell):
        dataset_id = _dataset_id(row, problems)
        name_of_file = _file_name(row, problems) if by_file else ""
        if dataset_id is None or name_of_file is None:
            continue
        if seen.first(row.line, dataset_id, name_of_file):
            cells = _canonical(row, problems)
            layouts.check(row.line, cells)
            yield ManifestRow(row.line, DatasetId(dataset_id), cells, name_of_file)
    problems.raise_any()


def check_changes(path: Path) -> None:
    """Refuses a manifest of which no column can change a dataset. Without rows, it may be so.

    Raises:
        InvalidInput: it is such a one; a file that cannot be read at all is left to reading it.
    """
    check_suffix(path.name)
    found: dict[str, None] = {}
    with _open(path) as handle:
        try:
            for name in read_columns(handle, path.name):
                # Whether it is written rightly is told when the rows are read.
                if name.lower() == "data" or is_patch_column(name.lower()):
                    return
                if len(found) < _MAX_NAMED:
                    found[name] = None
        except InvalidInput:
            return
    if found:
        raise InvalidInput(_without_change(path.name, list(found)))


def _without_change(name: str, columns: list[str]) -> str:
    text = (
        f"nothing is to be changed by {name}: without steps, expected a column metadata.*, "
        f"data_type or data, found {', '.join(columns)}"
    )
    known = TEXT_COLUMNS | {ID_COLUMN, LINK_COLUMN}
    meant = [PREFIX + one for one in columns if one not in known]
    return f"{text}; did you mean {', '.join(meant)}?" if meant else text


def _cell(column: Column, text: str) -> JsonValue:
    if column.name.startswith(PREFIX):
        return metadata_cell(column, text)
    if text == NULL_MARK and column.name in _MAY_BE_NULL:
        return None
    if column.name == LINK_COLUMN:
        return of_kind(text, "bool")
    return plain_cell(column, text)


def _canonical(row: Row, problems: Problems) -> JsonObject:
    """The cells but the id, in the one form that JSON has for what they mean."""
    cells: JsonObject = {}
    for name, value in row.cells.items():
        if name == ID_COLUMN or (value is None and name in _NULL_IS_NOTHING):
            continue
        if name.startswith(PREFIX):
            try:
                value = written(meaning(value))  # noqa: PLW2901 - the same value in its one form
            except ValueError as error:
                problems.add(row.line, f"column {name!r}: {error}")
                continue
        cells[name] = value
    return cells


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

    def first(self, line: int, dataset_id: str, file_name: str = "") -> bool:
        # No id holds a slash.
        key = f"{dataset_id}/{file_name}" if file_name else dataset_id
        before = self._lines.setdefault(key, line)
        if before == line:
            return True
        what = f"dataset {dataset_id}"
        if file_name:
            what = f"file {file_name!r} of {what}"
        place = f"{self._problems.unit} {before}"
        self._problems.add(line, f"{what} is already in {place}; keep one of the two")
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


def _file_name(row: Row, problems: Problems) -> str | None:
    value = row.cells.get(FILE_COLUMN)
    if isinstance(value, str) and value:
        return value
    path = row.cells.get(PATH_COLUMN)
    if value in (None, "") and isinstance(path, str) and path:
        # Called as it is called where it comes from.
        return file_name(path)
    found = shown(value) if value is not None else ", ".join(sorted(row.cells))
    problems.add(row.line, f"expected the name of a file in {FILE_COLUMN}, found {found}")
    return None


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
        for name in TEXT_COLUMNS & cells.keys():
            value = cells[name]
            if not isinstance(value, str) and not (value is None and name in _MAY_BE_NULL):
                self._problems.add(line, f"expected a text in {name}, found {shown(value)}")
        data_type = cells.get("data_type", "")
        if looks_like_a_mark(data_type):
            self._problems.add(
                line, f"expected a data type, which cannot be removed, found {shown(data_type)}"
            )
        link = cells.get(LINK_COLUMN)
        if link is not None and not isinstance(link, bool):
            self._problems.add(line, f"expected true or false in link, found {shown(link)}")
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
            self._check_name(line, column)
            try:
                fields += [(path.keys, column) for path, _ in patch_fields(column, value)]
            except ValueError as error:
                self._problems.add(line, str(error))
        for (outer, first), (inner, second) in pairwise(sorted(keys for keys in fields if keys[0])):
            if inner[: len(outer)] == outer:
                self._problems.add(
                    line, f"columns {first} and {second} contradict each other; keep one"
                )

    def _check_name(self, line: int, column: str) -> None:
        meant = column.lower()
        known = meant in TEXT_COLUMNS or meant in (ID_COLUMN, LINK_COLUMN, "metadata")
        if column != meant and (known or meant.startswith(PREFIX)) and not is_patch_column(column):
            right = PREFIX + column[len(PREFIX) :] if meant.startswith(PREFIX) else meant
            self._problems.add(line, f"column {column!r} is unknown; did you mean {right}?")
