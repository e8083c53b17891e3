"""Rows of CSV, TSV, JSON lines and Parquet, streamed, with line numbers and every problem at once.

A CSV or TSV column's head may end in a type (``age:int``; ``polly_core.planning.cells`` has them
all); without one its cells are text. An empty cell is absent from the row. Fields may be quoted as
spreadsheets do, and then hold line breaks.
"""

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import BinaryIO

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.cells import CellReader, Column, plain_cell
from polly_core.planning.rows import MAX_PROBLEMS, Problems, Row, read_header
from polly_core.planning.values import read_json, shown

__all__ = ["MAX_PROBLEMS", "Problems", "Row", "check_suffix", "read_columns", "read_rows"]

MAX_CELL = 64 * 1024 * 1024
_WIDE = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_BOM = b"\xef\xbb\xbf"


def check_suffix(name: str) -> str:
    """The file's format by its suffix.

    Raises:
        InvalidInput: it is none of those that can be read.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput(
            f"{name}: expected a file named {', '.join(f'*{known}' for known in SUFFIXES)}, "
            f"found {suffix or 'no suffix'}; convert or rename it"
        )
    return suffix


def read_rows(
    handle: BinaryIO,
    name: str,
    problems: Problems,
    *,
    required: Collection[str] = (),
    cell: CellReader = plain_cell,
) -> Iterator[Row]:
    """Rows of a table in the format that its name says. What is wrong goes to ``problems``.

    Args:
        required: columns that the header (JSON lines have none) must have.
        cell: reads the text of a cell.

    Raises:
        InvalidInput: unknown format, or a header that cannot be used.
    """
    suffix = check_suffix(name)
    if suffix == ".parquet":
        # PyArrow takes a while to import.
        from polly_core.planning.parquet import parquet_rows

        return parquet_rows(handle, problems, required, cell)
    lines = _text_lines(handle, problems)
    if suffix in _DIALECTS:
        return _delimited(lines, problems, required, cell, _DIALECTS[suffix])
    return _json_lines(lines, problems)


def read_columns(handle: BinaryIO, name: str) -> Iterator[str]:
    """The columns of a table: of its header, of JSON lines those of row after row.

    Raises:
        InvalidInput: unknown format, or a header that cannot be used.
    """
    suffix = check_suffix(name)
    problems = Problems(name)
    if suffix == ".parquet":
        from polly_core.planning.parquet import parquet_columns

        heads: Sequence[str] = parquet_columns(handle, name)
    elif suffix in _DIALECTS:
        lines = _text_lines(handle, problems)
        heads = next(_records(lines, problems, _DIALECTS[suffix]), (1, []))[1]
    else:
        for row in _json_lines(_text_lines(handle, problems), problems):
            yield from row.cells
        return
    yield from (column.name for column in read_header(heads, (), problems))


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
    cell: CellReader,
    dialect: type[csv.Dialect],
) -> Iterator[Row]:
    records = _records(lines, problems, dialect)
    header = next(records, None)
    if header is None:
        problems.add(1, "it is empty; expected a header line with column names")
        return
    columns = read_header(header[1], required, problems)
    for line, cells in records:
        if len(cells) != len(columns):
            problems.add(
                line, f"expected {len(columns)} cells as in the header, found {len(cells)}"
            )
            continue
        yield Row(line, _cells(columns, cells, line, cell, problems))


def _records(
    lines: Iterator[str], problems: Problems, dialect: type[csv.Dialect]
) -> Iterator[tuple[int, list[str]]]:
    # The module knows one limit for the whole process; it is only ever raised to this.
    csv.field_size_limit(MAX_CELL)
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


def _cells(
    columns: Sequence[Column], cells: Sequence[str], line: int, read: CellReader, problems: Problems
) -> JsonObject:
    row: JsonObject = {}
    for column, text in zip(columns, cells, strict=True):
        if not text:
            continue
        try:
            row[column.name] = read(column, text)
        except ValueError as error:
            problems.add(line, f"column {column.name!r}: {error}")
    return row


def _json_lines(lines: Iterator[str], problems: Problems) -> Iterator[Row]:
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


_DIALECTS: dict[str, type[csv.Dialect]] = {".csv": csv.excel, ".tsv": csv.excel_tab}
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
