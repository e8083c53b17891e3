"""Report rows as JSON lines, CSV, TSV or Parquet, streamed."""

import csv
import io
import itertools
import json
from collections.abc import Iterable
from typing import BinaryIO

from polly_core.engine.report import ReportRow
from polly_core.models.jsonvalue import JsonObject

FORMATS = ("jsonl", "csv", "tsv", "parquet")
COLUMNS = tuple(ReportRow.model_fields)
PARQUET_ROWS = 10_000


def write_rows(rows: Iterable[ReportRow], kind: str, stream: BinaryIO) -> int:
    """Write every row; how many there were. Memory is flat in their number."""
    if kind == "parquet":
        return _parquet(rows, stream)
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    try:
        return _lines(rows, text) if kind == "jsonl" else _table(rows, text, kind)
    finally:
        # The stream is the caller's to close.
        text.detach()


def _plain(row: ReportRow) -> JsonObject:
    dumped: JsonObject = row.model_dump(mode="json")
    return dumped


def _flat(row: ReportRow) -> dict[str, str | bool | None]:
    dumped = row.model_dump(mode="json")
    return {**dumped, "reasons": "; ".join(row.reasons)}


def _lines(rows: Iterable[ReportRow], text: io.TextIOWrapper) -> int:
    number = 0
    for number, row in enumerate(rows, 1):  # noqa: B007 - the count is what is returned
        text.write(json.dumps(_plain(row), ensure_ascii=False) + "\n")
    return number


def _table(rows: Iterable[ReportRow], text: io.TextIOWrapper, kind: str) -> int:
    delimiter = "," if kind == "csv" else "\t"
    writer = csv.DictWriter(text, COLUMNS, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    number = 0
    for number, row in enumerate(rows, 1):  # noqa: B007 - the count is what is returned
        writer.writerow(_flat(row))
    return number


def _parquet(rows: Iterable[ReportRow], stream: BinaryIO) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    flags = {"inferred", "verified"}
    schema = pa.schema([(name, pa.bool_() if name in flags else text) for name in COLUMNS])
    number, remaining = 0, iter(rows)
    with pq.ParquetWriter(stream, schema) as writer:
        while chunk := list(itertools.islice(remaining, PARQUET_ROWS)):
            writer.write_table(pa.Table.from_pylist([_flat(row) for row in chunk], schema=schema))
            number += len(chunk)
    return number
