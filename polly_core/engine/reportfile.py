"""Report rows as JSON lines, CSV, TSV or Parquet: manifests of the next run, streamed."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO

from polly_core.engine.report import ReportRow
from polly_core.engine.sheetfile import FORMATS, write_sheet
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.cells import Column, Meaning, meaning
from polly_core.planning.rowpatch import PREFIX
from polly_core.planning.sheet import Layout, SheetColumn, json_text

__all__ = ["COLUMNS", "FORMATS", "write_rows"]

COLUMNS = tuple(name for name in ReportRow.model_fields if name != "cells")
_FLAGS = frozenset({"inferred", "verified"})


def write_rows(rows: Iterable[ReportRow], kind: str, stream: BinaryIO) -> int:
    """Write every row; how many there were. Memory is flat in their number.

    The cells of the items' manifest rows stand beside the report's own columns.
    """
    if kind == "jsonl":
        number = 0
        for number, row in enumerate(rows, 1):  # noqa: B007 - the count is what is returned
            stream.write((json_text(row.members()) + "\n").encode())
        return number
    with tempfile.TemporaryFile("w+", encoding="ascii") as spool:
        layout = _spooled(rows, spool)
        stored = dict.fromkeys(_FLAGS, "bool")
        own = [SheetColumn(Column(name), stored=stored.get(name)) for name in COLUMNS]
        return write_sheet(_read(spool), [*own, *layout.columns()], kind, stream)


def _spooled(rows: Iterable[ReportRow], spool: IO[str]) -> Layout:
    """Keep the rows on disk while it is learned which columns they need."""
    layout = Layout()
    for row in rows:
        layout.see_row(_meant(row.cells))
        spool.write(json.dumps([_own(row), row.cells]) + "\n")
    return layout


def _own(row: ReportRow) -> JsonObject:
    found: JsonObject = row.model_dump(mode="json", exclude={"cells", "reasons"})
    shown = {name: value for name, value in found.items() if value is not None}
    return {**shown, "reasons": "; ".join(row.reasons)}


def _read(spool: IO[str]) -> Iterator[dict[str, Meaning]]:
    spool.seek(0)
    for line in spool:
        own, cells = json.loads(line)
        yield {**own, **_meant(cells)}


def _meant(cells: JsonObject) -> dict[str, Meaning]:
    return {
        name: meaning(value) if name.startswith(PREFIX) else value for name, value in cells.items()
    }
