"""A ledger in a SQLite file: write-ahead log, every commit on the disk before it returns."""

import sqlite3
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry

from polly_core.errors import InvalidInput, LedgerUnavailable

WRITES = "ledger_writes"
"""Execution option of a connection whose transaction will write."""

_PASSING = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
)


class SqliteDialect:
    """SQLite 3.24 or newer, in a file."""

    clock = text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)")
    errors = sqlite3.Error
    reaches_other_hosts = False

    def __init__(self, url: URL, *, wait_seconds: float) -> None:
        if not url.database or ":memory:" in url.database or "mode=memory" in str(url):
            raise InvalidInput(
                "a ledger must outlive the process: expected a file, as in "
                f"sqlite:////var/lib/polly/ledger.db, found {url.render_as_string()}"
            )
        self._url = url
        self._wait_seconds = wait_seconds

    def engine(self) -> Engine:
        self._make_folder()
        engine = create_engine(
            self._url,
            hide_parameters=True,
            pool_size=8,
            # The connection used last: the others have to read again what it has written.
            pool_use_lifo=True,
            max_overflow=24,
            pool_timeout=self._wait_seconds,
            connect_args={"timeout": self._wait_seconds},
        )
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _prepare(self, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions of its own: its BEGIN is deferred, and a deferred
        # transaction that comes to write fails at once where another one is writing.
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            # Of a new file: two plans of usual size share a page, which halves what is written.
            cursor.execute("PRAGMA page_size = 8192")
            _use_wal(cursor, self._wait_seconds)
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA foreign_keys = ON")
        finally:
            cursor.close()

    def before_migrating(self, connection: Connection) -> None:
        """A transaction that writes is alone from its first statement."""

    def passes(self, error: BaseException) -> bool:
        code = getattr(error, "sqlite_errorcode", None)
        return isinstance(code, int) and code & 0xFF in _PASSING

    def _make_folder(self) -> None:
        folder = Path(str(self._url.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerUnavailable(
                f"the ledger's folder {folder} cannot be made: {error.strerror}; "
                "name another file with POLLY_LEDGER_URL"
            ) from error


def _use_wal(cursor: DBAPICursor, wait_seconds: float) -> None:
    """Switch the file to a write-ahead log, where nobody has.

    The switch needs the file alone and does not wait for others by itself.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            if not busy or time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
