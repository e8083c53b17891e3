"""Sheets as files: CSV, TSV, JSON lines or Parquet, streamed, whole or not at all."""

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from polly_core.errors import CannotProceed, InvalidInput
from polly_core.planning.cells import Meaning
from polly_core.planning.sheet import Cells, SheetColumn, cell_text, json_line

FORMATS = ("jsonl", "csv", "tsv", "parquet")
PARQUET_ROWS = 1_000
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_NEEDS_QUOTES = re.compile(r'[",\t\r\n]|^\s|\s$')


def format_of(path: Path) -> str:
    """The format that a file's name says.

    Raises:
        InvalidInput: it says none.
    """
    kind = path.suffix.lower().removeprefix(".")
    kind = "jsonl" if kind == "ndjson" else kind
    if kind not in FORMATS:
        raise InvalidInput(
            f"{path.name}: expected a name that ends in .csv, .tsv, .jsonl or .parquet, "
            f"found {path.suffix or 'no suffix'}"
        )
    return kind


def write_sheet(
    rows: Iterable[Cells],
    columns: Sequence[SheetColumn],
    kind: str,
    stream: BinaryIO,
    *,
    spreadsheet: bool = False,
) -> int:
    """Write every row; how many there were.

    Args:
        spreadsheet: of CSV and TSV: a byte order mark and CRLF, by which spreadsheets know UTF-8.
    """
    if kind == "parquet":
        return _parquet(rows, columns, stream)
    if kind == "jsonl":
        names = [column.column.name for column in columns]
        return _lines((json_line(row, names) for row in rows), stream)
    end = "\r\n" if spreadsheet else "\n"
    mark = "\ufeff" if spreadsheet else ""
    lines = _delimited(rows, columns, _DELIMITERS[kind], end)
    return _lines(lines, stream, head=mark + next(lines))


def _lines(lines: Iterable[str], stream: BinaryIO, *, head: str = "") -> int:
    # Reasons quote values as they are, and some values are no UTF-8.
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="")
    number = 0
    try:
        text.write(head)
        for number, line in enumerate(lines, 1):  # noqa: B007 - the count is what is returned
            text.write(line)
    finally:
        # The stream is the caller's to close.
        text.detach()
    return number


def _delimited(
    rows: Iterable[Cells], columns: Sequence[SheetColumn], delimiter: str, end: str
) -> Iterator[str]:
    yield delimiter.join(_quoted(column.column.head) for column in columns) + end
    for row in rows:
        cells = (
            _quoted(cell_text(row[one.column.name], one.column, formulas=True))
            if one.column.name in row
            else ""
            for one in columns
        )
        yield delimiter.join(cells) + end


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES.search(cell) else cell


def _parquet(rows: Iterable[Cells], columns: Sequence[SheetColumn], stream: BinaryIO) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    schema = pa.schema([(one.column.head, types[one.native]) for one in columns])
    number, remaining = 0, iter(rows)
    with pq.ParquetWriter(stream, schema) as writer:
        while chunk := list(itertools.islice(remaining, PARQUET_ROWS)):
            arrays = [
                pa.array([_stored(row, one) for row in chunk], type=types[one.native])
                for one in columns
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            number += len(chunk)
    return number


def _stored(row: Cells, one: SheetColumn) -> Meaning:
    name = one.column.name
    if name not in row:
        return None
    value = row[name]
    return value if one.native != "str" else cell_text(value, one.column)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when it was written wholly, and not at all otherwise.

    Raises:
        CannotProceed: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(path)
    except OSError as error:
        raise CannotProceed(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
