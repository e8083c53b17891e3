"""Sheets: tables of rows that are read as manifests again, cell by cell as they were.

Which columns there are, and of which type, is known when every row was seen; so rows are looked at
once and written afterwards. What cells mean stands in ``polly_core.planning.cells``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from polly_core.errors import InvalidInput
from polly_core.models.fieldpath import format_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.cells import (
    DELETE,
    DELETE_MARK,
    EMPTY_MARK,
    NULL_MARK,
    Column,
    Meaning,
    kind_of,
    written,
)
from polly_core.planning.rowpatch import PREFIX

Cells: TypeAlias = Mapping[str, Meaning]
"""What a row's cells mean, by column."""

# A field that holds a mapping of its own, as from sample to value, is one cell.
WIDEST_FIELD = 50
_MAX_INT64 = 2**63 - 1


@dataclass(slots=True)
class _Seen:
    """What was seen in a column so far."""

    kind: str | None = None
    marks: bool = False
    wide: bool = False
    """It holds whole numbers beyond 64 bits."""

    def add(self, value: Meaning) -> None:
        kind = kind_of(value)
        if kind is None:
            self.marks = True
        elif self.kind in (None, kind):
            self.kind = kind
        else:
            self.kind = "json"
        if kind == "int" and isinstance(value, int) and abs(value) > _MAX_INT64:
            self.wide = True


@dataclass(frozen=True, slots=True)
class SheetColumn:
    """A column of a sheet that is to be written."""

    column: Column
    marks: bool = False
    wide: bool = False
    stored: str | None = None
    """How Parquet stores it, where its head does not say the type."""

    @property
    def native(self) -> str:
        """How Parquet stores it: as ``bool``, ``int``, ``float`` or ``str``."""
        kind = self.stored or self.column.kind
        if kind not in ("bool", "int", "float") or self.marks or self.wide:
            return "str"
        return kind


@dataclass(slots=True)
class Layout:
    """Learns which columns rows need. Memory is flat in the number of rows."""

    _fields: dict[str, dict[str, _Seen]] = field(default_factory=dict)
    _collapsed: set[str] = field(default_factory=set)
    _others: dict[str, _Seen] = field(default_factory=dict)

    def see_metadata(self, metadata: JsonObject) -> None:
        """Look at the metadata of one dataset.

        Raises:
            InvalidInput: a field's name cannot be written.
        """
        for key, value in metadata.items():
            columns = self._fields.setdefault(key, {})
            for name, leaf in _leaves((key,), value, whole=key in self._collapsed):
                columns.setdefault(name, _Seen()).add(leaf)
            if len(columns) > WIDEST_FIELD:
                self._collapsed.add(key)
                self._fields[key] = {column_name((key,)): _Seen("json")}

    def see_row(self, cells: Cells) -> None:
        """Look at the cells of a manifest's row."""
        for name, value in cells.items():
            self._others.setdefault(name, _Seen()).add(value)

    def cells(self, metadata: JsonObject) -> dict[str, Meaning]:
        """The cells that hold the metadata of one dataset."""
        return {
            name: leaf
            for key, value in metadata.items()
            for name, leaf in _leaves((key,), value, whole=key in self._collapsed)
        }

    def columns(self) -> list[SheetColumn]:
        """The columns of all that was seen: metadata by name, other columns as they came."""
        others = [_column(name, seen) for name, seen in self._others.items()]
        fields = {name: seen for columns in self._fields.values() for name, seen in columns.items()}
        return [*others, *(_column(name, fields[name]) for name in sorted(fields))]


def _column(name: str, seen: _Seen) -> SheetColumn:
    kind = seen.kind
    if name.startswith(PREFIX):
        kind = kind or "str"
    elif kind == "str":
        kind = None
    return SheetColumn(Column(name, kind), seen.marks, seen.wide)


def _leaves(
    keys: tuple[str, ...], value: JsonValue, *, whole: bool
) -> Iterator[tuple[str, JsonValue]]:
    """The cells that hold a field: one, or one for each field within it."""
    if not whole and isinstance(value, dict) and value and all(map(_writable, value)):
        for key, inner in value.items():
            yield from _leaves((*keys, key), inner, whole=False)
    else:
        yield column_name(keys), value


def column_name(keys: tuple[str, ...]) -> str:
    """The column of a metadata field.

    Raises:
        InvalidInput: the name cannot be written in UTF-8.
    """
    if not all(map(_writable, keys)):
        raise InvalidInput(
            f"the metadata field {format_field(keys)!r} has a name that no file in UTF-8 can hold; "
            "rename it first"
        )
    return PREFIX + ".".join(_key(key) for key in keys)


def _key(key: str) -> str:
    name = format_field((key,))
    if name == key and key != key.strip():
        # Space around a header is not looked at, unless it is within quotes.
        return '"' + key.replace("\\", "\\\\") + '"'
    return name


def _writable(key: str) -> bool:
    return kind_of(key) != "json"


def cell_text(value: Meaning, column: Column, *, formulas: bool = False) -> str:
    """A cell as text.

    Args:
        formulas: escape texts that spreadsheets take for formulas.
    """
    if value is DELETE:
        return DELETE_MARK
    if column.kind == "json":
        return json_text(value)
    if value is None:
        return NULL_MARK
    if value == "" and column.name.startswith(PREFIX):
        return EMPTY_MARK
    if isinstance(value, str):
        is_data = column.name.startswith(PREFIX)
        return str(written(value, formulas=formulas)) if is_data else value
    return json_text(value)


def json_text(value: Any) -> str:
    """JSON in one line, readable where UTF-8 can hold it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if kind_of(text) != "json" else json.dumps(value, allow_nan=False)


def json_line(cells: Cells, names: Iterable[str]) -> str:
    """A row as a line of JSON lines, its members in the order of the names."""
    found = {
        name: written(cells[name]) if name.startswith(PREFIX) else cells[name]
        for name in names
        if name in cells
    }
    return json_text(found) + "\n"
