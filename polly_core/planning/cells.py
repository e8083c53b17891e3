r"""What a cell of a manifest means: nothing, null, removal, and values of a type. One convention.

====================  =========================  ======================  =======================
means                 CSV, TSV                   JSON lines              Parquet
====================  =========================  ======================  =======================
leave it alone        an empty cell, no column   no such member          null, no column
null                  ``<null>``                 ``null``                ``<null>``
remove the field      ``<delete>``               ``"<delete>"``          ``<delete>``
the empty text        ``<empty>``                ``""``                  ``<empty>``
====================  =========================  ======================  =======================

The three marks mean the same in every format, in columns of every type. A *text* that would be
read as one is written with a backslash in front, ``\<null>``; one that already has backslashes
there gets one more. Other spellings, as ``<NULL>``, are refused. For the sake of spreadsheets,
which take it for a formula, a text that begins with ``=``, ``+``, ``-`` or ``@`` may have a
backslash in front as well, and export writes it so.

A column's name may end in its type: ``:str``, ``:int``, ``:float``, ``:bool`` or ``:json`` (the
last such ending is no part of the name). Parquet's own types count where there is none. A JSON
string in a ``:json`` cell is never a mark. In a ``metadata`` column of CSV or TSV without a type,
cells are text, and cells that could as well be something else (``42``, ``1e5``, ``TRUE``, ``NA``)
are refused.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

from polly_core.models.jsonvalue import JsonValue
from polly_core.planning.casting import looks_like_a_number, number, truth, whole_number
from polly_core.planning.values import ABSENT, MaybeJson, read_json, shown


class _Delete(Enum):
    DELETE = "delete"


DELETE: Final = _Delete.DELETE
"""The field is to be removed, which is neither null nor left alone."""

Meaning: TypeAlias = JsonValue | Literal[_Delete.DELETE]

NULL_MARK, DELETE_MARK, EMPTY_MARK = "<null>", "<delete>", "<empty>"
TYPES = ("str", "int", "float", "bool", "json")

_LIKE_A_MARK = re.compile(r"\s*<\s*(?:null|delete|empty)\s*>\s*", re.IGNORECASE)
_ESCAPED = re.compile(
    r"\\+(?:[=+@-].*|\s*<\s*(?:null|delete|empty)\s*>\s*)", re.IGNORECASE | re.DOTALL
)
_FORMULA = ("=", "+", "-", "@")
_NO_VALUE = frozenset({"null", "none", "na", "n/a", "#n/a", "nan", "nil"})
_ERRORS = frozenset({"#ref!", "#name?", "#value!", "#div/0!", "#num!", "#null!"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name without the type, and the type where its head says one."""

    name: str
    kind: str | None = None

    @classmethod
    def of(cls, head: str) -> "Column":
        """The column that a header names."""
        name, colon, kind = head.rpartition(":")
        if colon and kind.strip() in TYPES:
            return cls(name.strip(), kind.strip())
        return cls(head.strip())

    @property
    def head(self) -> str:
        """The header that names it."""
        if self.kind is None and Column.of(self.name) == self:
            return self.name
        return f"{self.name}:{self.kind or 'str'}"


CellReader: TypeAlias = Callable[[Column, str], JsonValue]
"""The value of a cell that is not empty. Raises ``ValueError`` where it has none."""


def meaning(value: JsonValue) -> Meaning:
    """What a row's value means.

    Raises:
        ValueError: it is almost a mark.
    """
    if not isinstance(value, str):
        return value
    match value:
        case "<null>":
            return None
        case "<delete>":
            return DELETE
        case "<empty>":
            return ""
    if _ESCAPED.fullmatch(value):
        return value[1:]
    if looks_like_a_mark(value):
        raise ValueError(
            f"{shown(value)} is almost a mark; the marks are {NULL_MARK}, {DELETE_MARK} and "
            f"{EMPTY_MARK}, the text itself is written \\{value.strip()}"
        )
    return value


def looks_like_a_mark(value: JsonValue) -> bool:
    """Whether it is a mark, or almost one."""
    return isinstance(value, str) and _LIKE_A_MARK.fullmatch(value) is not None


def written(value: Meaning, *, formulas: bool = False) -> JsonValue:
    """The value of a row that has this meaning.

    Args:
        formulas: also escape texts that spreadsheets take for formulas.
    """
    if value is DELETE:
        return DELETE_MARK
    if not isinstance(value, str):
        return value
    if _ESCAPED.fullmatch(value) or looks_like_a_mark(value):
        return f"\\{value}"
    return f"\\{value}" if formulas and value.startswith(_FORMULA) else value


def plain_cell(column: Column, text: str) -> JsonValue:
    """A cell of any other table: text, or what the column's type says.

    Raises:
        ValueError: the cell is not of the type.
    """
    match column.kind:
        case None | "str":
            return text
        case "json":
            return _json(text)
        case kind:
            return of_kind(text, kind)


def of_kind(value: JsonValue, kind: str) -> JsonValue:
    """The value as an int, float or bool.

    Raises:
        ValueError: it is none.
    """
    found: MaybeJson = _READERS[kind](value)
    if found is ABSENT:
        raise ValueError(f"{shown(value)} is not {_EXPECTED[kind]}")
    return found


_READERS: dict[str, Callable[[JsonValue], MaybeJson]] = {
    "int": whole_number,
    "float": number,
    "bool": truth,
}
_EXPECTED = {
    "int": "a whole number, written without an exponent",
    "float": "a number",
    "bool": "true or false",
}


def _json(text: str) -> JsonValue:
    # Spreadsheets write booleans in capitals.
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return read_json(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not JSON ({error})") from None


def metadata_cell(column: Column, text: str) -> JsonValue:
    """A cell that sets a metadata field, as a row's value; marks are kept.

    Raises:
        ValueError: the cell is not of the column's type, or could be of several.
    """
    if column.kind == "str" or looks_like_a_mark(text):
        return text
    if column.kind is None:
        return unambiguous(column, text)
    value = plain_cell(column, text)
    # A JSON string is what it says; marks stand without quotes.
    return written(value) if isinstance(value, str) else value


def unambiguous(column: Column, text: str) -> str:
    """The text, which can be nothing else.

    Raises:
        ValueError: it could be a number, a boolean or nothing as well.
    """
    bare = text.strip().lower()
    name = column.name
    if bare in _NO_VALUE:
        raise ValueError(
            f"{shown(text)} may be a text or no value; write {NULL_MARK} for null, {DELETE_MARK} "
            f"to remove the field, nothing to leave it alone, or head the column {name}:str"
        )
    if bare in _ERRORS:
        raise ValueError(
            f"{shown(text)} is a spreadsheet's error; mend it, or head the column {name}:str"
        )
    if bare in ("true", "false"):
        raise ValueError(
            f"{shown(text)} may be a boolean or a text; head the column {name}:bool or {name}:str"
        )
    if looks_like_a_number(bare) or bare in ("inf", "-inf", "infinity", "-infinity"):
        raise ValueError(
            f"{shown(text)} may be a number or a text; head the column {name}:int, {name}:float "
            f"or {name}:str"
        )
    return text


def kind_of(value: Meaning) -> str | None:
    """The type whose cells can hold the value; None for null, removal and the empty text."""
    match value:
        case None | _Delete.DELETE | "":
            return None
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float" if math.isfinite(value) else "json"
        case str():
            return "str" if _is_utf8(value) else "json"
        case _:
            return "json"


def _is_utf8(text: str) -> bool:
    # JSON may hold half of a surrogate pair, which no file in UTF-8 can.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
