"""Transactions on the ledger's database, and its errors in our words."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    URL,
    ClauseElement,
    Connection,
    CursorResult,
    Engine,
    Executable,
    make_url,
)
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from polly_core.errors import InvalidInput, LedgerError, LedgerUnavailable
from polly_core.ledger.dialect import Dialect
from polly_core.ledger.prepared import Parameters, Prepared, prepared
from polly_core.ledger.sqlite import WRITES, SqliteDialect

Prepare = Callable[[ClauseElement], Prepared]
_NONE: Parameters = {}


class Transaction:
    """One open transaction."""

    def __init__(self, connection: Connection, dialect: Dialect, prepare: Prepare) -> None:
        self.connection = connection
        self._dialect = dialect
        self._prepare = prepare
        self._cursor: DBAPICursor | None = None

    def execute(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> CursorResult[Any]:
        """Execute a statement once, as SQLAlchemy does it: for statements made for the occasion."""
        return self.connection.execute(statement, parameters)

    def rows(
        self, statement: ClauseElement, parameters: Parameters = _NONE
    ) -> list[tuple[Any, ...]]:
        """Execute a statement that is made once and for all; its rows as the driver gives them."""
        return list(self._run(*self._prepare(statement).bound(parameters)).fetchall())

    def row(
        self, statement: ClauseElement, parameters: Parameters = _NONE
    ) -> tuple[Any, ...] | None:
        """The first of its rows."""
        found = self.rows(statement, parameters)
        return found[0] if found else None

    def run(self, statement: ClauseElement, parameters: Parameters) -> None:
        """Execute such a statement that has no rows."""
        self._run(*self._prepare(statement).bound(parameters))

    def execute_each(self, statement: ClauseElement, rows: Sequence[Parameters]) -> None:
        """Execute such a statement once for each row; all rows give the same parameters."""
        if rows:
            self._run(*self._prepare(statement).each(rows), many=True)

    def now(self) -> int:
        """The database's time in Unix milliseconds: the one clock of all who share the ledger.

        Ask after the rows that matter are locked; waiting for a lock takes time.
        """
        ((milliseconds,),) = self.rows(self._dialect.clock)
        return int(milliseconds)

    def before_migrating(self) -> None:
        """Wait until no other process creates or migrates this ledger."""
        self._dialect.before_migrating(self.connection)

    def _run(self, text: str, parameters: Any, *, many: bool = False) -> DBAPICursor:
        """The one way past SQLAlchemy; its transaction is the same."""
        if self._cursor is None:
            self._cursor = self.connection.connection.cursor()
        if many:
            self._cursor.executemany(text, parameters)
        else:
            self._cursor.execute(text, parameters)
        return self._cursor


class Database:
    """A pool of connections. Thread-safe."""

    def __init__(self, url: str, *, wait_seconds: float) -> None:
        self._dialect, self.name = _choose(url, wait_seconds=wait_seconds)
        self._wait_seconds = wait_seconds
        self._engine: Engine = self._dialect.engine()
        # SQLite lets one writer in at a time, and those who wait sleep and try again: without
        # this, threads of one process starve each other.
        self._writer = threading.Lock()
        self._prepared: dict[ClauseElement, Prepared] = {}

    @property
    def reaches_other_hosts(self) -> bool:
        return self._dialect.reaches_other_hosts

    def close(self) -> None:
        """Give up every connection."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that only reads.

        Raises:
            LedgerUnavailable: the database cannot be reached, is locked or full.
            LedgerError: it refused the statement.
        """
        with self._in_our_words(), self._engine.connect() as connection, connection.begin():
            yield Transaction(connection, self._dialect, self._prepare)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that writes; committed when the block ends, undone when it raises."""
        with self._in_our_words(), self._alone(), self._engine.connect() as connection:
            connection.execution_options(**{WRITES: True})
            with connection.begin():
                yield Transaction(connection, self._dialect, self._prepare)

    def _prepare(self, statement: ClauseElement) -> Prepared:
        known = self._prepared.get(statement)
        if known is None:
            known = prepared(statement, self._engine.dialect)
            self._prepared[statement] = known
        return known

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self.reaches_other_hosts:
            yield
            return
        if not self._writer.acquire(timeout=self._wait_seconds):
            raise LedgerUnavailable(
                f"the ledger {self.name} was busy for {self._wait_seconds:g} s with other threads "
                "of this process"
            )
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            raise LedgerUnavailable(
                f"the ledger {self.name} gave no connection within {self._wait_seconds:g} s"
            ) from error
        except DBAPIError as error:
            lost = error.connection_invalidated
            raise self._translated(error.orig or error, lost=lost) from error
        except self._dialect.errors as error:
            raise self._translated(error) from error
        except (SQLAlchemyError, UnicodeEncodeError) as error:
            raise LedgerError(f"the ledger {self.name} refused a statement: {error}") from error

    def _translated(self, error: BaseException, *, lost: bool = False) -> LedgerError:
        # The driver's own words; SQLAlchemy's would carry the statement with them.
        said = " ".join(str(error).split())
        if lost or self._dialect.passes(error):
            return LedgerUnavailable(
                f"the ledger {self.name} is out of reach: {said}; nothing of this step was "
                "recorded unless its answer was lost, and it may be repeated"
            )
        return LedgerError(f"the ledger {self.name} refused a statement: {said}")


def _choose(url: str, *, wait_seconds: float) -> tuple[Dialect, str]:
    """The dialect of a URL, and a name for the database that shows no password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text is not repeated: a password may be what is wrong with it.
        raise InvalidInput(
            "the ledger's URL cannot be read: expected sqlite:////path/to/ledger.db or "
            "postgresql://user:password@host/database (characters like @ or / in a password "
            "as %40 or %2F)"
        ) from None
    return _dialect(parsed, wait_seconds=wait_seconds), _shown(parsed)


def _dialect(url: URL, *, wait_seconds: float) -> Dialect:
    name = url.get_backend_name()
    if name == "sqlite":
        return SqliteDialect(url, wait_seconds=wait_seconds)
    if name in {"postgresql", "postgres"}:
        # Its driver takes a quarter of a second to import.
        from polly_core.ledger.postgresql import PostgresqlDialect

        return PostgresqlDialect(url, wait_seconds=wait_seconds)
    raise InvalidInput(
        "a ledger lives in SQLite or PostgreSQL; expected a URL that begins with sqlite: or "
        f"postgresql:, found {name}:"
    )


def _shown(url: URL) -> str:
    host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    return f"{url.get_backend_name()}://{host}/{url.database or ''}"
