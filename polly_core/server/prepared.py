"""Statements whose text is made once, run by SQLite's own driver.

SQLAlchemy's way from a statement to the driver costs five times what SQLite needs for one row; a
request runs five of them. Statements, connections and transactions stay SQLAlchemy's.
"""

import sqlite3
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import CompilerElement

Row = dict[str, Any]


class Prepared:
    """One statement with named parameters. Thread-safe."""

    def __init__(self, statement: CompilerElement) -> None:
        self._statement = statement

    @cached_property
    def _compiled(self) -> tuple[str, dict[str, object]]:
        """As SQLite reads it, and the values that stand in the statement itself."""
        compiled = self._statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        assert isinstance(compiled, SQLCompiler)
        own = {name: bound.value for name, bound in compiled.binds.items() if not bound.required}
        return str(compiled), own

    def run(self, connection: Connection, values: Mapping[str, object]) -> sqlite3.Cursor:
        """Run it in the open transaction of the connection. Raises ``sqlite3.Error``."""
        text, constants = self._compiled
        return driver(connection).execute(text, {**constants, **values})

    def rows(self, connection: Connection, values: Mapping[str, object]) -> list[Row]:
        """Every row, by the names of its columns."""
        cursor = self.run(connection, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def one(self, connection: Connection, values: Mapping[str, object]) -> Row | None:
        """The first row, if there is any."""
        cursor = self.run(connection, values)
        row = cursor.fetchone()
        if row is None:
            return None
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def driver(connection: Connection) -> sqlite3.Connection:
    """The connection as the driver has it."""
    return cast("sqlite3.Connection", connection.connection.driver_connection)
