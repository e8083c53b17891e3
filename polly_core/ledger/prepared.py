"""Statements as the driver reads them: compiled once, handed to it directly.

SQLAlchemy's own way costs more per statement than both databases need to execute it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import ClauseElement, Dialect

Parameters = Mapping[str, object]

_LIST = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)\]\)")


@dataclass(frozen=True, slots=True)
class Named:
    """For a driver that takes parameters by name."""

    text: str
    constants: Parameters

    def bound(self, given: Parameters) -> tuple[str, Parameters]:
        """The text and what is to be bound to it."""
        return self.text, {**self.constants, **given}

    def each(self, rows: Iterable[Parameters]) -> tuple[str, list[Parameters]]:
        """The text and what is to be bound to it, row by row."""
        return self.text, [{**self.constants, **row} for row in rows]


@dataclass(frozen=True, slots=True)
class Positional:
    """For a driver that takes parameters by position; a list is as many as it has members."""

    parts: tuple[str, ...]
    """The text, cut where a list goes."""
    names: tuple[str, ...]
    lists: tuple[str, ...]
    constants: Parameters

    def bound(self, given: Parameters) -> tuple[str, Sequence[object]]:
        """The text and what is to be bound to it."""
        values = {**self.constants, **given} if self.constants else given
        if not self.lists:
            return self.parts[0], [values[name] for name in self.names]
        marks: list[str] = []
        for name in self.lists:
            members: Any = values[name]
            marks.append(f"IN ({', '.join('?' * len(members)) or 'NULL'})")
        text = "".join(chain.from_iterable(zip(self.parts, (*marks, ""), strict=True)))
        bound: list[object] = []
        for name in self.names:
            value: Any = values[name]
            if name in self.lists:
                bound += value
            else:
                bound.append(value)
        return text, bound

    def each(self, rows: Iterable[Parameters]) -> tuple[str, list[tuple[object, ...]]]:
        """The text and what is to be bound to it, row by row."""
        if self.constants:
            rows = ({**self.constants, **row} for row in rows)
        # With one name it answers the value itself, with several a tuple.
        values = itemgetter(*self.names)
        if len(self.names) == 1:
            return self.parts[0], [(values(row),) for row in rows]
        return self.parts[0], [values(row) for row in rows]


Prepared = Named | Positional


def prepared(statement: ClauseElement, dialect: Dialect) -> Prepared:
    """The statement as the dialect's driver reads it. Lists may stand after ``IN`` only."""
    compiled = statement.compile(dialect=dialect)
    text = str(compiled)
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    order = getattr(compiled, "positiontup", None)
    if order is None:
        return Named(_LIST.sub(r"= ANY(%(\1)s)", text), constants)
    cut = _LIST.split(text)
    return Positional(
        parts=tuple(cut[::2]), names=tuple(order), lists=tuple(cut[1::2]), constants=constants
    )
