"""Statements handed to the driver directly say what SQLAlchemy would have said."""

import pytest
from sqlalchemy import Dialect, bindparam, column, create_engine, select, table, update

from polly_core.ledger.prepared import Parameters, prepared

T = table("t", column("a"), column("b"), column("c"))
FIND = select(T.c.a).where(
    T.c.a == bindparam("a"),
    T.c.b.in_(bindparam("some", expanding=True)),
    T.c.c == "fixed",
    T.c.c.in_(bindparam("others", expanding=True)),
    T.c.b != bindparam("a"),
)
CHANGE = update(T).where(T.c.a == bindparam("which")).values(b="fixed", c=bindparam("new"))
ONE = update(T).where(T.c.a == bindparam("which")).values(b=T.c.a)


def sqlite() -> Dialect:
    return create_engine("sqlite://").dialect


def postgresql() -> Dialect:
    return create_engine("postgresql+psycopg://").dialect


@pytest.mark.parametrize(
    ("some", "marks"), [([1, 2, 3], "IN (?, ?, ?)"), ([7], "IN (?)"), ([], "IN (NULL)")]
)
def test_a_list_takes_as_many_places_as_it_has_members(some: list[int], marks: str) -> None:
    statement = prepared(FIND, sqlite())
    text, bound = statement.bound({"a": 5, "some": some, "others": ["x"]})
    said = " ".join(text.split())
    assert f"WHERE t.a = ? AND t.b {marks} AND t.c = ? AND t.c IN (?) AND t.b != ?" in said
    assert bound == [5, *some, "fixed", "x", 5]


def test_a_list_is_one_parameter_where_they_go_by_name() -> None:
    text, bound = prepared(FIND, postgresql()).bound({"a": 5, "some": [], "others": ["x"]})
    assert "t.b = ANY(%(some)s) AND" in text
    assert "t.c = ANY(%(others)s) AND" in text
    assert bound == {"a": 5, "some": [], "others": ["x"], "c_1": "fixed"}


def test_rows_are_bound_in_the_order_of_the_statement() -> None:
    rows: list[Parameters] = [{"which": 1, "new": None}, {"new": "n", "which": 2}]
    assert prepared(CHANGE, sqlite()).each(rows) == (
        "UPDATE t SET b=?, c=? WHERE t.a = ?",
        [("fixed", None, 1), ("fixed", "n", 2)],
    )
    assert prepared(ONE, sqlite()).each([{"which": 1}])[1] == [(1,)]
    named = prepared(CHANGE, postgresql()).each(rows)[1]
    assert named == [{**row, "b": "fixed"} for row in rows]
