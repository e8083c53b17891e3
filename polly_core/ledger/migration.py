"""The schema's version: created, migrated or refused when a ledger is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, insert, inspect, select

from polly_core.errors import LedgerVersionError
from polly_core.ledger.database import Database, Transaction
from polly_core.ledger.migrations import to_2, to_3
from polly_core.ledger.schema import metadata, schema_versions

Migration = Callable[[Connection], None]


@dataclass(frozen=True)
class Schema:
    """A version of the tables, and the steps that lead to it from older ones.

    To change the tables: change ``schema.py``, add one to ``version``, and add to ``migrations``,
    under the new number, the function that alters the tables of the version before
    (``migrations.py``). Keep the old version's file for the tests (``tests/ledger/assets``).
    """

    version: int
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    """By the version that each leads to."""


OURS = Schema(version=3, migrations={2: to_2, 3: to_3})


def bring_up_to_date(database: Database, *, schema: Schema = OURS) -> None:
    """Create the tables of a new ledger, migrate those of an older one.

    A migration and the record of it are one transaction; one that fails changes nothing.

    Raises:
        LedgerVersionError: a newer program wrote the ledger, or tables with our names are not ours.
    """
    # Looking first keeps commands that only read from waiting for a run that writes.
    with database.reading() as tx:
        if _version(tx, name=database.name, schema=schema) == schema.version:
            return
    with database.writing() as tx:
        tx.before_migrating()
        version = _version(tx, name=database.name, schema=schema)
        if version is None:
            metadata.create_all(tx.connection, checkfirst=False)
            _record(tx, schema.version)
            return
        for following in range(version + 1, schema.version + 1):
            schema.migrations[following](tx.connection)
            _record(tx, following)


def _version(tx: Transaction, *, name: str, schema: Schema) -> int | None:
    present = set(inspect(tx.connection).get_table_names())
    if schema_versions.name not in present:
        foreign = sorted(present & set(metadata.tables))
        if foreign:
            raise LedgerVersionError(
                f"{name} has tables named {', '.join(foreign)} that are not a ledger's; "
                "give the ledger a database (or file) of its own with POLLY_LEDGER_URL"
            )
        return None
    version = tx.execute(select(func.max(schema_versions.c.version))).scalar_one()
    if version is None or version > schema.version:
        raise LedgerVersionError(
            f"the ledger {name} has schema version {version}, this program knows up to "
            f"{schema.version}: use the polly-bulk that wrote it or a newer one, or name another "
            "ledger with POLLY_LEDGER_URL; nothing was changed"
        )
    return int(version)


def _record(tx: Transaction, version: int) -> None:
    tx.execute(insert(schema_versions), {"version": version, "applied_at": tx.now()})
