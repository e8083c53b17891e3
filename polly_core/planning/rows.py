"""Rows of tables, and what is wrong with a table: every problem at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.cells import Column

MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it begins on, and its cells by column."""

    line: int
    cells: JsonObject


class Problems:
    """Collects what is wrong with a file, up to a bound, and raises it all at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unit = "line"
        """What places are called: Parquet has rows."""
        self._found: list[str] = []

    def add(self, line: int, text: str) -> None:
        """Note a problem.

        Raises:
            InvalidInput: it is the last one that is collected.
        """
        self._found.append(f"{self.unit} {line}: {text}")
        if len(self._found) >= MAX_PROBLEMS:
            self._found.append(f"and perhaps more: reading stopped after {MAX_PROBLEMS}")
            self.raise_any()

    def raise_any(self) -> None:
        """Raise ``InvalidInput`` with every problem, where there is one."""
        if self._found:
            raise InvalidInput("\n  ".join([f"{self.name} cannot be used:", *self._found]))


def read_header(
    header: Sequence[str], required: Collection[str], problems: Problems
) -> list[Column]:
    """The columns that a header names.

    Raises:
        InvalidInput: a column has no name, is there twice, or a required one is not there.
    """
    columns = [Column.of(head) for head in header]
    seen: dict[str, int] = {}
    for number, column in enumerate(columns, 1):
        if not column.name:
            problems.add(1, f"column {number} has no name")
        elif column.name in seen:
            first = seen[column.name]
            problems.add(1, f"columns {first} and {number} are both named {column.name!r}")
        seen.setdefault(column.name, number)
    for name in required:
        if name not in seen:
            problems.add(1, f"expected a column {name!r}, found {', '.join(seen)}")
    problems.raise_any()
    return columns
