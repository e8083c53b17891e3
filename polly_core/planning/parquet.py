"""Rows of Parquet, streamed batch by batch.

Null is an empty cell, and so is an empty text. Columns of texts hold what cells of a CSV do; others
hold their values, lists included. Structures, dates and decimals are refused: they have no one form
in JSON.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.cells import CellReader, Column, of_kind
from polly_core.planning.rows import Problems, Row, read_header
from polly_core.planning.values import not_json, shown

BATCH_ROWS = 1000

_Read = Callable[[Any], JsonValue]


def parquet_rows(
    handle: BinaryIO, problems: Problems, required: Collection[str], cell: CellReader
) -> Iterator[Row]:
    """Rows in the file's order, numbered from 1. What is wrong goes to ``problems``.

    Raises:
        InvalidInput: it is no Parquet file, or its columns cannot be used.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    problems.unit = "row"
    try:
        with pq.ParquetFile(handle) as opened:
            columns = read_header(opened.schema_arrow.names, required, problems)
            readers = _readers(opened.schema_arrow, columns, cell, problems)
            first = 1
            for batch in opened.iter_batches(batch_size=BATCH_ROWS):
                cells = [column.to_pylist() for column in batch.columns]
                for number, row in enumerate(zip(*cells, strict=True), first):
                    yield Row(number, _row(number, readers, row, problems))
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        problems.add(1, _unreadable(error))
    problems.raise_any()


def parquet_columns(handle: BinaryIO, name: str) -> list[str]:
    """The heads of the columns. Raises ``InvalidInput`` where it is no Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(handle).names)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{name}: {_unreadable(error)}") from error


def _unreadable(error: Exception) -> str:
    return f"it is no Parquet file that can be read: {' '.join(str(error).split())}"


def _readers(
    schema: Any, columns: list[Column], cell: CellReader, problems: Problems
) -> list[tuple[Column, _Read]]:
    readers = []
    for column, field in zip(columns, schema, strict=True):
        read = _reader(column, field.type, cell)
        if read is None:
            problems.add(
                1,
                f"column {column.name!r} holds {field.type}; expected texts, numbers, booleans or "
                f"lists of them; write it as text, or as JSON in a column {column.name}:json",
            )
        else:
            readers.append((column, read))
    problems.raise_any()
    return readers


def _row(
    number: int, readers: list[tuple[Column, _Read]], values: tuple[Any, ...], problems: Problems
) -> JsonObject:
    found: JsonObject = {}
    for (column, read), value in zip(readers, values, strict=True):
        if value is None or value == "":
            continue
        try:
            found[column.name] = read(value)
        except ValueError as error:
            problems.add(number, f"column {column.name!r}: {error}")
    return found


def _reader(column: Column, kind: Any, cell: CellReader) -> _Read | None:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        # The file itself says that these are texts.
        text = Column(column.name, column.kind or "str")
        return lambda value: cell(text, value)
    if types.is_floating(kind) and column.kind is None:
        return lambda value: _float(column, value)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return lambda value: _value(column, value)
    if types.is_list(kind) or types.is_large_list(kind):
        inner = _reader(Column(column.name, "json"), kind.value_type, cell)
        return None if inner is None else lambda value: _value(column, value)
    return (lambda value: value) if types.is_null(kind) else None


def _float(column: Column, value: float) -> JsonValue:
    found = _value(column, value)
    if value.is_integer():
        # Whole numbers with gaps come out of pandas so.
        name = column.name
        raise ValueError(
            f"{shown(found)} may be a whole number; name the column {name}:int or {name}:float"
        )
    return found


def _value(column: Column, value: Any) -> JsonValue:
    if problem := not_json(value):
        raise ValueError(f"{problem} is not JSON")
    found: JsonValue = value
    match column.kind:
        case None | "json":
            return found
        case "str":
            raise ValueError(f"{shown(found)} is not a text")
        case name:
            return of_kind(found, name)
