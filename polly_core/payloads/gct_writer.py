"""Writes cmapPy's ``GCToo`` as a GCT file."""

import gzip
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from polly_core.errors import PayloadError
from polly_core.payloads.atomic import replaced_when_done
from polly_core.payloads.gct_annotations import MINUS_666, write_column, write_text

if TYPE_CHECKING:
    import pandas as pd
    from cmapPy.pandasGEXpress.GCToo import GCToo

GctVersion = Literal["1.2", "1.3"]

_BLOCK_CELLS = 2**20
_SEPARATORS = ("\t", "\n", "\r")


def write_gct(gctoo: "GCToo", path: str | os.PathLike[str], *, version: GctVersion = "1.3") -> None:
    """Writes a ``GCToo``; gzipped where the name ends in ``.gz``.

    Every number is written with as many digits as it takes to read the same float64 back. Missing
    numbers are ``NaN``, missing annotations ``-666``; an annotation that is literally ``NA`` or
    ``-666`` is quoted, so that ``read_gct`` knows it from a missing one. Text annotations of which
    every one looks like a number come back as numbers: GCT knows no types. Version 1.2 has room
    for one annotation of rows, ``Description``; it is ``na`` where there is none.

    The file appears under its name when it is complete; an older one stays until then.

    Raises:
        PayloadError: an id or annotation holds a tab or line break, ids are empty or repeat, the
            matrix is not numeric, version 1.2 has no place for what is there, or the folder
            cannot be written.
    """
    file = Path(path)
    sheet = _Sheet(file, gctoo, version)
    head = _encoded(file, sheet.head())
    with replaced_when_done(file) as part, _opened(part, packed=_is_packed(file)) as out:
        out.write(head)
        for block in sheet.row_blocks():
            out.write(_encoded(file, block))


class _Sheet:
    """A ``GCToo`` as text, checked."""

    def __init__(self, file: Path, gctoo: "GCToo", version: GctVersion) -> None:
        self._file = file
        self._version = version
        self._data: pd.DataFrame = gctoo.data_df
        self._row_ids = self._names(gctoo.data_df.index, "row id")
        self._column_ids = self._names(gctoo.data_df.columns, "column id")
        self._row_names = self._names(gctoo.row_metadata_df.columns, "row annotation")
        self._column_names = self._names(gctoo.col_metadata_df.columns, "column annotation")
        self._row_cells = self._cells(gctoo.row_metadata_df)
        self._column_cells = self._cells(gctoo.col_metadata_df)
        if version == "1.2":
            self._fit_into_1_2()

    def head(self) -> str:
        """All lines above the rows."""
        sizes = [len(self._row_ids), len(self._column_ids)]
        first = "Name"
        if self._version == "1.3":
            sizes += [len(self._row_names), len(self._column_names)]
            first = "id"
        filler = [MINUS_666] * len(self._row_names)
        lines = [
            [f"#{self._version}"],
            list(map(str, sizes)),
            [first, *self._row_names, *self._column_ids],
        ]
        for name, cells in zip(self._column_names, self._column_cells, strict=True):
            lines.append([name, *filler, *cells])
        return "".join("\t".join(line) + "\n" for line in lines)

    def row_blocks(self) -> Iterator[str]:
        """The rows, some thousand lines at a time."""
        size = max(1, _BLOCK_CELLS // max(1, len(self._column_ids)))
        starts = list(map("\t".join, zip(self._row_ids, *self._row_cells, strict=True)))
        for begin in range(0, len(starts), size):
            heads = starts[begin : begin + size]
            if not self._column_ids:
                yield "\n".join([*heads, ""])
                continue
            numbers = _joined_numbers(self._file, self._data.iloc[begin : begin + size])
            yield "".join(f"{head}\t{line}\n" for head, line in zip(heads, numbers, strict=True))

    def _fit_into_1_2(self) -> None:
        surplus = self._column_names or [
            name
            for name in self._row_names
            if name.lower() != "description" or len(self._row_names) > 1
        ]
        if surplus:
            raise PayloadError(
                f"{self._file}: GCT 1.2 has room for one annotation of rows, 'Description', and "
                f"none of columns; found {', '.join(surplus[:5])}: write version 1.3"
            )
        if not self._row_names:
            self._row_names = ["Description"]
            self._row_cells = [["na"] * len(self._row_ids)]

    def _names(self, index: "pd.Index[Any]", what: str) -> list[str]:
        if index.hasnans:
            raise PayloadError(f"{self._file}: {what} is missing; give every one a name")
        names = [write_text(str(name)) for name in index.tolist()]
        self._check_text(names, what)
        if "" in names or len(set(names)) < len(names):
            bad = next(name for name in names if not name or names.count(name) > 1)
            raise PayloadError(
                f"{self._file}: expected different {what}s that are not empty, found {bad!r}"
                f"{' more than once' if bad else ''}"
            )
        return names

    def _cells(self, frame: "pd.DataFrame") -> list[list[str]]:
        columns = [write_column(frame.iloc[:, place]) for place in range(frame.shape[1])]
        for name, cells in zip(frame.columns, columns, strict=True):
            self._check_text(cells, f"annotation {str(name)!r}")
        return columns

    def _check_text(self, cells: Sequence[str], what: str) -> None:
        joined = "".join(cells)
        if any(separator in joined for separator in _SEPARATORS):
            bad = next(cell for cell in cells if any(mark in cell for mark in _SEPARATORS))
            raise PayloadError(
                f"{self._file}: {what} {bad[:60]!r} holds a tab or line break, which GCT cannot "
                "hold; replace it"
            )


def _joined_numbers(file: Path, block: "pd.DataFrame") -> list[str]:
    """One string for each row: its numbers, shortest exact form, between tabs."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import compute

    try:
        values = block.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise PayloadError(f"{file}: expected a matrix of numbers: {error}") from error
    rows, columns = values.shape
    numbers = pa.array(values.reshape(-1))
    texts = numbers.cast(pa.string())
    if np.isnan(values).any():
        texts = compute.if_else(compute.is_nan(numbers), "NaN", texts)
    offsets = pa.array(np.arange(0, rows * columns + 1, columns, dtype=np.int32))
    lines: list[str] = compute.binary_join(
        pa.ListArray.from_arrays(offsets, texts), "\t"
    ).to_pylist()
    return lines


def _is_packed(file: Path) -> bool:
    return file.suffix.lower() == ".gz"


@contextmanager
def _opened(path: Path, *, packed: bool) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        out: BinaryIO = stack.enter_context(path.open("xb"))
        if packed:
            # No name and no time in the stream: the same content gives the same bytes.
            packer = gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0, compresslevel=6)
            out = cast(BinaryIO, stack.enter_context(packer))
        yield out


def _encoded(file: Path, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        found = text[max(0, error.start - 20) : error.end]
        raise PayloadError(f"{file}: {found!r} is no valid text and has no UTF-8 form") from error
