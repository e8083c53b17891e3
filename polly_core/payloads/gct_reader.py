"""Reads a GCT file into cmapPy's ``GCToo``."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from polly_core.errors import PayloadError
from polly_core.payloads.content import Content, Kind, content_of, open_payload
from polly_core.payloads.gct_annotations import MINUS_666, MISSING_MARKS, read_column
from polly_core.payloads.gct_text import GctHeader, GctRow, GctText, unquote

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from cmapPy.pandasGEXpress.GCToo import GCToo

__all__ = ["MISSING_MARKS", "read_gct"]

_BLOCK_BYTES = 16 * 2**20
_GZIP_CANNOT_PACK_BETTER = 1100
_MISSING_NUMBERS = ["", *sorted(MISSING_MARKS)]


def read_gct(path: str | os.PathLike[str], *, minus_666_is_missing: bool = True) -> "GCToo":
    """The content of a GCT file, version 1.2 or 1.3, plain or gzipped, as a ``GCToo``.

    The matrix is float64 and every number is the one nearest to its text, so what ``write_gct``
    wrote comes back equal, bit by bit. An empty cell, ``NA``, ``NaN`` and the other
    ``MISSING_MARKS`` are missing in the matrix and in annotations; ids are never missing and are
    always text, as they stand: ``NA`` and ``007`` are ids. An annotation is a column of numbers
    only if every cell is one and none would lose leading zeros or digits.

    ``-666`` among annotations is CMap's mark for *missing* and is read so, unless
    ``minus_666_is_missing`` is False. In the matrix it is a number. cmapPy's own reader differs:
    it rounds to float32, makes ``-666`` in the matrix missing, and loses a row named ``NA``.

    Memory: the matrix once, and some 100 MB.

    Raises:
        PayloadError: the file is unreadable, no GCT, or not what it declares; the message names
            the file, the line, what was expected and what was found.
    """
    file = Path(path)
    _check_content(file, content_of(file))
    with open_payload(file) as (stream, gzipped):
        text = GctText(file, stream)
        header = text.header()
        _check_plausible(text, header, file.stat().st_size, gzipped=gzipped)
        matrix = _Matrix(text, header)
        ids: list[str] = []
        annotations: list[tuple[str, ...]] = []
        for row in text.rows(header):
            ids.append(row.row_id)
            annotations.append(row.annotations)
            matrix.add(row)
        values = matrix.finish()
    missing = MISSING_MARKS | {MINUS_666} if minus_666_is_missing else MISSING_MARKS
    return _assemble(file, header, ids, annotations, values, missing)


def _check_content(path: Path, content: Content) -> None:
    if content.kind is Kind.EMPTY:
        raise PayloadError(f"{path}, line 1: expected '#1.2' or '#1.3', found an empty file")
    if content.kind is Kind.HDF5:
        raise PayloadError(f"{path}: expected GCT text, found HDF5: it is a gctx or h5ad file")
    name = path.name.lower().removesuffix(".gz")
    if content.kind is Kind.GCT and name.endswith((".gctx", ".h5ad")):
        raise PayloadError(
            f"{path}, line 1: expected HDF5 as the name says, found GCT text; rename it to .gct"
        )


def _check_plausible(text: GctText, header: GctHeader, size: int, *, gzipped: bool) -> None:
    """Dimensions that the file cannot hold are refused before memory is asked for."""
    cells = header.rows * header.columns
    if cells > size * (_GZIP_CANNOT_PACK_BETTER if gzipped else 1):
        raise text.fault(
            f"declares {header.rows} rows and {header.columns} columns, more than a file of "
            f"{size} bytes can hold",
            line=2,
        )


class _Matrix:
    """Collects the numbers of rows and turns them into floats, a block at a time.

    Tabs become line ends, so that a block is one column of numbers for the CSV reader: fast for
    wide and for tall files alike.
    """

    def __init__(self, text: GctText, header: GctHeader) -> None:
        import numpy as np

        self._text = text
        self._header = header
        self._values = np.empty((header.rows, header.columns), dtype=np.float64)
        self._flat = self._values.reshape(-1)
        self._filled = 0
        self._block: list[GctRow] = []
        self._bytes = 0

    def add(self, row: GctRow) -> None:
        self._block.append(row)
        self._bytes += len(row.numbers)
        if self._bytes >= _BLOCK_BYTES:
            self._convert()

    def finish(self) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        self._convert()
        return self._values

    def _convert(self) -> None:
        if not self._block or not self._header.columns:
            return
        numbers = self._converted()
        self._flat[self._filled : self._filled + len(numbers)] = numbers
        self._filled += len(numbers)
        self._block = []
        self._bytes = 0

    def _converted(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]] | list[float]":
        import pyarrow as pa
        from pyarrow import csv

        cells = b"\n".join(row.numbers for row in self._block).replace(b"\t", b"\n")
        try:
            table = csv.read_csv(
                io.BytesIO(cells),
                read_options=csv.ReadOptions(column_names=["number"]),
                parse_options=csv.ParseOptions(
                    delimiter="\t", quote_char=False, ignore_empty_lines=False
                ),
                convert_options=csv.ConvertOptions(
                    column_types={"number": pa.float64()}, null_values=_MISSING_NUMBERS
                ),
            )
        except pa.ArrowInvalid:
            return [number for row in self._block for number in self._slow(row)]
        column: np.ndarray[tuple[int], np.dtype[np.float64]] = table["number"].to_numpy()
        return column

    def _slow(self, row: GctRow) -> list[float]:
        """The numbers of a row, also where they are quoted; finds the cell that is none."""
        cells = row.numbers.decode("utf-8", "replace").split("\t")
        return [self._number(row, column, cell) for column, cell in enumerate(cells)]

    def _number(self, row: GctRow, column: int, cell: str) -> float:
        text = unquote(cell).strip()
        if text in _MISSING_NUMBERS:
            return float("nan")
        try:
            if "_" not in text:
                return float(text)
        except ValueError:
            pass
        hint = "; write decimals with a point" if text.replace(",", "").isdigit() else ""
        raise self._text.fault(
            f"expected a number in row {row.row_id!r}, column "
            f"{self._header.column_ids[column]!r}, found {cell!r}{hint}",
            line=row.line,
        )


def _assemble(
    path: Path,
    header: GctHeader,
    ids: list[str],
    annotations: list[tuple[str, ...]],
    values: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
    missing: frozenset[str],
) -> "GCToo":
    import pandas as pd
    from cmapPy.pandasGEXpress.GCToo import GCToo

    rids = pd.Index(ids, name="rid", dtype=None if ids else object)
    cids = pd.Index(header.column_ids, name="cid", dtype=None if header.columns else object)
    by_name = list(zip(*annotations, strict=True)) or [()] * len(header.row_annotations)
    return GCToo(
        data_df=pd.DataFrame(values, index=rids, columns=cids, copy=False),
        row_metadata_df=_frame(rids, "rhd", header.row_annotations, by_name, missing),
        col_metadata_df=_frame(
            cids, "chd", header.column_annotations, list(header.column_cells), missing
        ),
        src=str(path),
        version=f"GCT{header.version}",
    )


def _frame(
    index: "pd.Index[str]",
    axis_name: str,
    names: tuple[str, ...],
    columns: list[tuple[str, ...]],
    missing: frozenset[str],
) -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(
        {name: read_column(cells, missing) for name, cells in zip(names, columns, strict=True)},
        index=index,
    )
    frame.columns = pd.Index(names, name=axis_name, dtype=None if names else object)
    return frame
