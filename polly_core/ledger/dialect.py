"""What differs between the databases a ledger can live in."""

from typing import Protocol

from sqlalchemy import Connection, Engine, TextClause


class Dialect(Protocol):
    """One kind of database."""

    @property
    def clock(self) -> TextClause:
        """Selects the database's time in Unix milliseconds."""
        ...

    @property
    def reaches_other_hosts(self) -> bool:
        """Whether processes on several machines may use one database."""
        ...

    @property
    def errors(self) -> type[Exception]:
        """What its driver raises."""
        ...

    def engine(self) -> Engine:
        """Connections that see only what was committed, and commit durably."""
        ...

    def before_migrating(self, connection: Connection) -> None:
        """Wait until no other process creates or migrates this ledger."""
        ...

    def passes(self, error: BaseException) -> bool:
        """Whether the driver's error may be gone when the statement is made again."""
        ...
