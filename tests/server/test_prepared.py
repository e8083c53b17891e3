"""Statements that run past SQLAlchemy do what they would through it."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import bindparam, insert, select

from polly_core.server.prepared import Prepared
from polly_core.server.schema import server
from polly_core.server.store import Store

ADD = Prepared(insert(server).values(name=bindparam("name"), value=bindparam("value")))
FROM = select(server).where(server.c.name >= bindparam("first")).order_by(server.c.name)


def test_rows_have_the_names_of_their_columns_and_own_values_are_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "catalog.db")
    with store.write() as connection:
        for name in "xyz":
            ADD.run(connection, {"name": name, "value": name.upper()})
    with store.read() as connection:
        # The limit is a value of the statement's own; "unused" is none of its parameters.
        found = Prepared(FROM.limit(2)).rows(connection, {"first": "x", "unused": 1})
        last = Prepared(FROM.offset(1)).one(connection, {"first": "y"})
        none = Prepared(FROM).one(connection, {"first": "zz"})
    store.close()
    assert found == [{"name": "x", "value": "X"}, {"name": "y", "value": "Y"}]
    assert last == {"name": "z", "value": "Z"}
    assert none is None


def test_a_unit_that_fails_in_the_driver_leaves_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "catalog.db")

    def twice() -> None:
        with store.write() as connection:
            for value in "12":
                ADD.run(connection, {"name": "x", "value": value})

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    with store.write() as connection:
        ADD.run(connection, {"name": "y", "value": "3"})
    with store.read() as connection:
        rows = Prepared(FROM).rows(connection, {"first": "x"})
    store.close()
    assert rows == [{"name": "y", "value": "3"}]
