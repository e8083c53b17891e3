"""The database file: opening, transactions, and what is true of the whole server."""

import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from polly_core.errors import CannotProceed
from polly_core.server import schema
from polly_core.server.prepared import driver
from polly_core.server.refusals import unavailable

Transaction: TypeAlias = Connection
"""What a unit of work hands to the functions that hold the SQL."""

_LOCK_WAIT_SECONDS = 30
_READERS = 8
_INSTANCE = "instance_id"


class _Group:
    """Units of work that are committed together, with one wait for the disk."""

    def __init__(self) -> None:
        self.members = 0
        self.ended = False
        self.error: DatabaseError | None = None


class Store:
    """One SQLite file in WAL mode; what ``write`` has committed survives kill -9 and power loss.

    Thread-safe. Several processes may open the same file; writes take turns.
    """

    def __init__(self, reader: Engine, writer: Engine, instance_id: str) -> None:
        self._reader = reader
        self._writer = writer.connect()
        self._turn = threading.Lock()
        self._group: _Group | None = None
        self.instance_id = instance_id
        """Stays with the file."""

    @classmethod
    def open(cls, path: Path, *, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> "Store":
        """Open the file, making it where it is missing.

        Raises:
            CannotProceed: it cannot be opened, or another release of this program made it.
        """
        reader = _engine(path, "BEGIN", _READERS)
        writer = _engine(path, "BEGIN IMMEDIATE", 1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with writer.begin() as connection:
                instance_id = _prepare(connection, path, new_id)
        except (DatabaseError, OSError) as error:
            writer.dispose()
            cause = error.orig if isinstance(error, DatabaseError) else error
            raise CannotProceed(
                f"The catalog database {path} cannot be opened: {cause}. Check that the folder "
                "exists, may be written to and is not full"
            ) from error
        except CannotProceed:
            writer.dispose()
            raise
        return cls(reader, writer, instance_id)

    def close(self) -> None:
        """Close every connection; to be called when nothing reads or writes any more."""
        with self._turn:
            self._writer.close()
            self._writer.engine.dispose()
        self._reader.dispose()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent view of the database."""
        with self._reader.connect() as connection:
            connection.begin()
            yield connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A unit of work that no other overlaps; durable when this ends, and nothing of it if an
        exception leaves the block.

        Units that wait at the same time share one commit.

        Raises:
            Unavailable: its turn did not come in time; nothing was done.
            CannotProceed: the commit itself failed, for every unit in it.
        """
        with self._turn:
            group = self._joined()
            try:
                driver(self._writer).execute("SAVEPOINT unit")
                yield self._writer
            except BaseException:
                self._leave(group)
                raise
            driver(self._writer).execute("RELEASE unit")
            group.members += 1
        # Whoever is next in turn joins the group before the first of it comes back to commit.
        with self._turn:
            if not group.ended:
                self._commit(group)
        if group.error is not None:
            raise CannotProceed(
                f"The catalog database could not be written: {group.error.orig}"
            ) from group.error

    def _joined(self) -> _Group:
        if self._group is None:
            try:
                self._writer.begin()
            except OperationalError as error:
                raise unavailable("The catalog database is busy; try again") from error
            self._group = _Group()
        return self._group

    def _leave(self, group: _Group) -> None:
        try:
            if group.members:
                self._writer.exec_driver_sql("ROLLBACK TO unit")
                self._writer.exec_driver_sql("RELEASE unit")
                return
        except DatabaseError as error:
            # A full disk or the like has ended the transaction of all of them.
            self._fail(group, error)
            return
        self._writer.rollback()
        self._end(group)

    def _commit(self, group: _Group) -> None:
        try:
            self._writer.commit()
        except DatabaseError as error:
            self._fail(group, error)
        else:
            self._end(group)

    def _fail(self, group: _Group, error: DatabaseError) -> None:
        group.error = error
        # What is left open of the transaction ends with the connection; the next unit has another.
        self._writer.invalidate()
        self._writer.rollback()
        self._end(group)

    def _end(self, group: _Group) -> None:
        group.ended = True
        self._group = None


def _engine(path: Path, begin: str, connections: int) -> Engine:
    engine = create_engine(
        make_url("sqlite://").set(database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        # The driver's own transaction handling would begin too late; ours is in _begin.
        connect_args={
            "timeout": _LOCK_WAIT_SECONDS,
            "check_same_thread": False,
            "isolation_level": None,
        },
    )

    def _connected(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Connection, path: Path, new_id: Callable[[], str]) -> str:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version == 0:
        schema.metadata.create_all(connection)
        connection.execute(insert(schema.server).values(name=_INSTANCE, value=new_id()))
        connection.exec_driver_sql(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
    elif version != schema.SCHEMA_VERSION:
        raise CannotProceed(
            f"The catalog database {path} has schema version {version}, this release knows "
            f"{schema.SCHEMA_VERSION}. Serve it with the release that made it, or name another "
            "data folder"
        )
    found = select(schema.server.c.value).where(schema.server.c.name == _INSTANCE)
    return str(connection.execute(found).scalar_one())
