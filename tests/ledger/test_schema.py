"""What the databases themselves promise."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from polly_core.errors import LedgerError
from polly_core.ledger.ledger import Ledger, open_ledger
from tests.ledger import house


@pytest.mark.parametrize(
    ("setting", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("page_size", 8192)],
)
def test_every_connection_is_durable_and_checks_references(
    sqlite_url: str, setting: str, value: object
) -> None:
    def read(ledger: Ledger) -> object:
        with ledger._database.reading() as tx:
            return tx.connection.exec_driver_sql(f"PRAGMA {setting}").scalar_one()

    with open_ledger(sqlite_url) as ledger, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(read, [ledger] * 3)) == [value] * 3


def test_a_row_that_refers_to_nothing_is_refused(ledger: Ledger) -> None:
    job = house.job(ledger)

    def orphan() -> None:
        with ledger._database.writing() as tx:
            tx.connection.exec_driver_sql("DELETE FROM runs")

    with pytest.raises(LedgerError, match=r"(?i)foreign key"):
        orphan()
    assert ledger.run(job.run_id).total == 10
