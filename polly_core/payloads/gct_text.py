"""The structure of a GCT file: version, dimensions, header block, rows. Numbers stay text here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from polly_core.errors import PayloadError
from polly_core.payloads.content import UTF8_BOM

OnFault = Callable[[PayloadError], None]
"""What to do with a fault that concerns one row or id: raise it, or note it and go on."""

# Beginnings of lines that may be quoted, blank or at the end.
_CLOSELY = frozenset({b"", b'"', b"\t", b" ", b"\r", b"\n", b"\v", b"\f"})


@dataclass(frozen=True, slots=True)
class GctHeader:
    """Everything above the rows. ``column_cells`` holds one tuple per column annotation."""

    version: str
    rows: int
    columns: int
    row_annotations: tuple[str, ...]
    column_annotations: tuple[str, ...]
    column_ids: tuple[str, ...]
    column_cells: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class GctRow:
    """One row: its id, its annotations as they stand, and its tab-separated numbers."""

    line: int
    row_id: str
    annotations: tuple[str, ...]
    numbers: bytes


def raise_fault(fault: PayloadError) -> None:
    """The ``OnFault`` that ends the reading."""
    raise fault


def unquote(cell: str) -> str:
    """The text of a cell that a CSV writer quoted; any other cell as it stands.

    A lone quote has no meaning in GCT, so ``5"`` and ``"abc`` are text.
    """
    if len(cell) >= 2 and cell[0] == '"' == cell[-1]:
        body = cell[1:-1]
        if '"' not in body.replace('""', ""):
            return body.replace('""', '"')
    return cell


class GctText:
    """Reads the structure of one GCT file, top to bottom, once.

    Line ends may be LF or CRLF, the text may start with a UTF-8 byte order mark, lines may end in
    surplus tabs (spreadsheets add them), and empty lines may follow the last row.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self._stream = stream
        self._line = 0
        self._again = b""
        """A line that was read and is to be read again."""

    def header(self, *, on_fault: OnFault = raise_fault) -> GctHeader:
        """Reads everything above the rows.

        Raises:
            PayloadError: there is no way to tell the dimensions or the header block from it.
        """
        version = self._version()
        rows, columns, row_count, column_count = self._dimensions(version)
        names = self._cells(1 + row_count + columns, "the line of column ids")
        column_ids = tuple(map(unquote, names[1 + row_count :]))
        self._check_names(column_ids, "column id", on_fault)
        row_annotations = tuple(map(unquote, names[1 : 1 + row_count]))
        self._check_names(row_annotations, "row annotation", on_fault)
        block = [
            self._cells(1 + row_count + columns, f"column annotation {number} of {column_count}")
            for number in range(1, column_count + 1)
        ]
        column_annotations = tuple(unquote(cells[0]) for cells in block)
        self._check_names(column_annotations, "column annotation", on_fault)
        return GctHeader(
            version=version,
            rows=rows,
            columns=columns,
            row_annotations=row_annotations,
            column_annotations=column_annotations,
            column_ids=column_ids,
            column_cells=tuple(tuple(cells[1 + row_count :]) for cells in block),
        )

    def rows(self, header: GctHeader, *, on_fault: OnFault = raise_fault) -> Iterator[GctRow]:
        """Every row, checked for its number of cells and for a repeated id.

        A row with a fault is left out if ``on_fault`` returns. Fewer or more rows than declared
        are a fault, told at the end.
        """
        annotations = len(header.row_annotations)
        tabs = annotations + header.columns
        seen: dict[str, int] = {}
        found = 0
        while (line := self._next_row(header, found, on_fault)) is not None:
            found += 1
            try:
                row = self._row(line, annotations, tabs)
            except PayloadError as fault:
                on_fault(fault)
                continue
            first = seen.setdefault(row.row_id, self._line)
            if first != self._line:
                on_fault(self._fault(f"row id {row.row_id!r} is already on line {first}"))
                continue
            yield row

    def ids(
        self, header: GctHeader, *, on_fault: OnFault = raise_fault, repeated: bool = False
    ) -> Iterator[str]:
        """The id of every row, checked as ``rows`` does; several times as fast.

        A line that is as nearly all lines are is looked at as a whole, any other one closely.

        Args:
            repeated: give ids again that were there before; none is kept to compare with.
        """
        annotations = len(header.row_annotations)
        tabs = annotations + header.columns
        readline = self._stream.readline
        seen: dict[str, int] = {}
        found = 0
        while True:
            line = readline() if found < header.rows else b""
            usual = line.count(b"\t") == tabs and line.isascii() and line[:1] not in _CLOSELY
            if usual and tabs:
                self._line += 1
                row_id = line[: line.index(b"\t")].decode()
            else:
                self._again = line
                closely = self._next_row(header, found, on_fault)
                if closely is None:
                    return
                try:
                    row_id = self._row(closely, annotations, tabs).row_id
                except PayloadError as fault:
                    found += 1
                    on_fault(fault)
                    continue
            found += 1
            if not repeated and seen.setdefault(row_id, self._line) != self._line:
                on_fault(self._fault(f"row id {row_id!r} is already on line {seen[row_id]}"))
                continue
            yield row_id

    def fault(self, message: str, *, line: int) -> PayloadError:
        """An error that names the file and the line."""
        return PayloadError(f"{self.path}, line {line}: {message}")

    def _fault(self, message: str) -> PayloadError:
        return self.fault(message, line=self._line)

    def _version(self) -> str:
        first = self._next_line() or b""
        text = first.removeprefix(UTF8_BOM).rstrip(b"\t ")
        if text not in (b"#1.2", b"#1.3"):
            found = repr(text[:40].decode("utf-8", "replace")) if first else "nothing"
            self._line = max(self._line, 1)
            self._stop(f"expected '#1.2' or '#1.3' and nothing else, found {found}")
        return text[1:].decode()

    def _dimensions(self, version: str) -> tuple[int, int, int, int]:
        line = self._next_line()
        wanted = 4 if version == "1.3" else 2
        cells = [] if line is None else line.rstrip(b"\t ").split(b"\t")
        numbers = [int(cell) for cell in cells if cell.strip().isdigit() and len(cell) < 19]
        if len(numbers) != wanted or len(cells) != wanted:
            found = "the end of the file" if line is None else repr(_shown(line))
            names = "rows, columns" + (", row and column annotations" if wanted == 4 else "")
            self._stop(f"expected {wanted} numbers between tabs ({names}), found {found}")
        rows, columns, *annotations = numbers
        row_count, column_count = annotations or (1, 0)
        return rows, columns, row_count, column_count

    def _cells(self, wanted: int, what: str) -> list[str]:
        line = self._next_line()
        if line is None:
            self._line += 1
            self._stop(f"expected {what}, found the end of the file: it was cut short")
        return self._decode(self._fitted(line, wanted - 1)).split("\t")

    def _next_row(self, header: GctHeader, found: int, on_fault: OnFault) -> bytes | None:
        """The next row's line; None when there is none, with a fault if one was still due."""
        line = self._next_line()
        blank = 0
        while line is not None and not line.strip():
            blank = blank or self._line
            line = self._next_line()
        if blank and line is not None:
            on_fault(self.fault("expected a row, found an empty line", line=blank))
        if line is not None and found == header.rows:
            on_fault(
                self._fault(
                    f"expected the end of the file after the {header.rows} rows that line 2 "
                    f"declares, found another row: {_shown(line)!r}"
                )
            )
            return None
        if line is None and found < header.rows:
            on_fault(
                self._fault(
                    f"expected {header.rows} rows as line 2 declares, found {found} before the "
                    "end of the file: it was cut short, or line 2 is wrong"
                )
            )
        return line

    def _row(self, line: bytes, annotations: int, tabs: int) -> GctRow:
        parts = self._fitted(line, tabs).split(b"\t", annotations + 1)
        numbers = parts.pop() if len(parts) > annotations + 1 else b""
        cells = self._decode(b"\t".join(parts)).split("\t")
        row_id = unquote(cells[0])
        if not row_id:
            self._stop("expected a row id, found an empty cell")
        return GctRow(self._line, row_id, tuple(cells[1:]), numbers)

    def _fitted(self, line: bytes, tabs: int) -> bytes:
        """The line without surplus tabs at its end."""
        surplus = line.count(b"\t") - tabs
        if surplus > 0 and line.endswith(b"\t" * surplus):
            return line[:-surplus]
        if surplus:
            self._stop(f"expected {tabs + 1} cells, found {tabs + 1 + surplus}: {_shown(line)!r}")
        return line

    def _decode(self, text: bytes) -> str:
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            self._stop(
                f"expected UTF-8 text, found byte 0x{text[error.start]:02x} after "
                f"{_shown(text[: error.start][-20:])!r}; convert the file to UTF-8"
            )

    def _check_names(self, names: Sequence[str], what: str, on_fault: OnFault) -> None:
        seen: set[str] = set()
        for number, name in enumerate(names, start=1):
            if not name:
                on_fault(self._fault(f"expected {what} {number}, found an empty cell"))
            elif name in seen:
                on_fault(self._fault(f"{what} {name!r} is there twice; {what}s must differ"))
            seen.add(name)

    def _next_line(self) -> bytes | None:
        line = self._again or self._stream.readline()
        self._again = b""
        if not line:
            return None
        self._line += 1
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def _stop(self, message: str) -> NoReturn:
        raise self._fault(message)


def _shown(line: bytes) -> str:
    text = line[:60].decode("utf-8", "replace")
    return text + "…" if len(line) > 60 else text
