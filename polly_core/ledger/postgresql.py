"""A ledger in PostgreSQL: shared by the processes of several machines."""

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, text

_MIGRATING = 0x706F6C6C79
"""Key of the advisory lock under which a schema is created or migrated."""
_READ_ONLY = "25006"
"""Answer of a server that has become, or is not yet, a primary."""


class PostgresqlDialect:
    """PostgreSQL 13 or newer through psycopg 3."""

    clock = text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")
    errors = psycopg.Error
    reaches_other_hosts = True

    def __init__(self, url: URL, *, wait_seconds: float) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self._wait_seconds = wait_seconds

    def engine(self) -> Engine:
        milliseconds = max(1, int(self._wait_seconds * 1000))
        options = [
            *self._given_options(),
            f"-c lock_timeout={milliseconds}",
            # A process that hangs inside a transaction must not hold its rows for ever.
            f"-c idle_in_transaction_session_timeout={6 * milliseconds}",
        ]
        return create_engine(
            self._url,
            hide_parameters=True,
            pool_size=8,
            max_overflow=24,
            pool_timeout=self._wait_seconds,
            # Connections that a restart of the server has cut are replaced before they are used.
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": max(2, round(self._wait_seconds)),
                "tcp_user_timeout": milliseconds,
                "options": " ".join(options),
                "application_name": "polly-bulk",
            },
        )

    def _given_options(self) -> tuple[str, ...]:
        """Options in the URL, as ``?options=-csearch_path=ledger``."""
        given = self._url.query.get("options", ())
        return (given,) if isinstance(given, str) else given

    def before_migrating(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})

    def passes(self, error: BaseException) -> bool:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return True
        return isinstance(error, psycopg.Error) and error.sqlstate == _READ_ONLY
