"""Rows of CSV, TSV and JSON lines, streamed, with line numbers and every problem at once.

In CSV and TSV cells are text; a column headed ``name:json`` holds JSON. An empty cell is absent
from the row. Fields may be quoted as spreadsheets do, and then hold line breaks.
"""

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO, TypeAlias

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.values import read_json, shown

MAX_PROBLEMS = 20
JSON_SUFFIX = ":json"
_WIDE = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it begins on, and its cells by column."""

    line: int
    cells: JsonObject


class Problems:
    """Collects what is wrong with a file, up to a bound, and raises it all at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: list[str] = []

    def add(self, line: int, text: str) -> None:
        """Note a problem.

        Raises:
            InvalidInput: it is the last one that is collected.
        """
        self._found.append(f"line {line}: {text}")
        if len(self._found) >= MAX_PROBLEMS:
            self._found.append(f"and perhaps more: reading stopped after {MAX_PROBLEMS}")
            self.raise_any()

    def raise_any(self) -> None:
        """Raise ``InvalidInput`` with every problem, where there is one."""
        if self._found:
            raise InvalidInput("\n  ".join([f"{self.name} cannot be used:", *self._found]))


def check_suffix(name: str) -> str:
    """The file's format by its suffix.

    Raises:
        InvalidInput: it is none of those that can be read.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in _READERS:
        raise InvalidInput(
            f"{name}: expected a file named {', '.join(f'*{known}' for known in _READERS)}, "
            f"found {suffix or 'no suffix'}; convert or rename it"
        )
    return suffix


def read_rows(
    handle: BinaryIO, name: str, problems: Problems, *, required: Collection[str] = ()
) -> Iterator[Row]:
    """Rows of a table in the format that its name says. What is wrong goes to ``problems``.

    Args:
        required: columns that the header of a CSV or TSV must have.

    Raises:
        InvalidInput: unknown format, or a header that cannot be used.
    """
    return _READERS[check_suffix(name)](_text_lines(handle, problems), problems, required)


def _text_lines(handle: Iterable[bytes], problems: Problems) -> Iterator[str]:
    for number, raw in enumerate(handle, 1):
        line = raw
        if number == 1:
            for mark, encoding in _WIDE:
                if line.startswith(mark):
                    problems.add(1, f"it is encoded as {encoding}; save it as UTF-8")
                    return
            line = line.removeprefix(_BOM)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.add(
                number,
                f"byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8; "
                "save the file as UTF-8",
            )
            text = line.decode("utf-8", "replace")
        yield text


def _delimited(
    lines: Iterator[str],
    problems: Problems,
    required: Collection[str],
    dialect: type[csv.Dialect],
) -> Iterator[Row]:
    records = _records(lines, problems, dialect)
    header = next(records, None)
    if header is None:
        problems.add(1, "it is empty; expected a header line with column names")
        return
    columns = _columns(header[1], required, problems)
    for line, cells in records:
        if len(cells) != len(columns):
            problems.add(
                line, f"expected {len(columns)} cells as in the header, found {len(cells)}"
            )
            continue
        yield Row(line, _cells(columns, cells, line, problems))


def _records(
    lines: Iterator[str], problems: Problems, dialect: type[csv.Dialect]
) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, dialect, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # After a broken quote nobody knows where the next row begins.
            problems.add(line, f"{error}; a cell with quotes has them doubled and is quoted itself")
            problems.raise_any()
        if cells:
            yield line, cells


def _columns(
    header: Sequence[str], required: Collection[str], problems: Problems
) -> list[tuple[str, bool]]:
    columns = [
        (name.removesuffix(JSON_SUFFIX).strip(), name.endswith(JSON_SUFFIX)) for name in header
    ]
    seen: dict[str, int] = {}
    for number, (name, _) in enumerate(columns, 1):
        if not name:
            problems.add(1, f"column {number} has no name")
        elif name in seen:
            problems.add(1, f"columns {seen[name]} and {number} are both named {name!r}")
        seen.setdefault(name, number)
    for name in required:
        if name not in seen:
            problems.add(1, f"expected a column {name!r}, found {', '.join(seen)}")
    problems.raise_any()
    return columns


def _cells(
    columns: Sequence[tuple[str, bool]], cells: Sequence[str], line: int, problems: Problems
) -> JsonObject:
    row: JsonObject = {}
    for (name, is_json), cell in zip(columns, cells, strict=True):
        if not cell:
            continue
        if not is_json:
            row[name] = cell
            continue
        try:
            row[name] = read_json(cell)
        except ValueError as error:
            problems.add(line, f"column {name!r}: {shown(cell)} is not JSON ({error})")
    return row


def _csv(lines: Iterator[str], problems: Problems, required: Collection[str]) -> Iterator[Row]:
    return _delimited(lines, problems, required, csv.excel)


def _tsv(lines: Iterator[str], problems: Problems, required: Collection[str]) -> Iterator[Row]:
    return _delimited(lines, problems, required, csv.excel_tab)


def _json_lines(
    lines: Iterator[str], problems: Problems, required: Collection[str]
) -> Iterator[Row]:
    del required  # Rows have no header; who needs a member looks at each row.
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value: JsonValue = read_json(line)
        except ValueError as error:
            problems.add(number, f"it is not JSON ({error})")
            continue
        if not isinstance(value, dict):
            problems.add(number, f"expected a JSON object, found {shown(value)}")
            continue
        yield Row(number, value)


_Reader: TypeAlias = Callable[[Iterator[str], Problems, Collection[str]], Iterator[Row]]
_READERS: dict[str, _Reader] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
