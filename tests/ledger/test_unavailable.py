"""A ledger that goes away, and comes back."""

import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from polly_core.errors import InvalidInput, LedgerError, LedgerUnavailable
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Batch
from polly_core.models.run import RunOptions
from tests.ledger import house
from tests.support.postgres import PostgresServer


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with PostgresServer() as server:
        yield server


def test_a_locked_file_is_unavailable_until_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}", wait_seconds=0.1) as ledger:
        job = house.job(ledger)
        claim = job.claim()
        ledger.record_plans(claim, house.plans([0]))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="locked"):
            ledger.commit(claim, Batch(sent=(0,)))
        assert ledger.counts(job.run_id).total == 10, "reading goes on"
        with open_ledger(f"sqlite:///{path}", wait_seconds=0.1) as second:
            assert second.run(job.run_id).run_id == job.run_id, "and so does opening"
        other.execute("ROLLBACK")
        other.close()
        ledger.commit(claim, Batch(sent=(0,)))
        house.tallies_hold(ledger, job.run_id)


def test_a_full_disk_is_unavailable_until_there_is_room(sqlite_url: str) -> None:
    with open_ledger(sqlite_url) as ledger:
        job = house.job(ledger, size=300)
        claim = job.claim()
        ledger.close()
        engine = ledger._database._engine

        def fill(connection: sqlite3.Connection, _: object) -> None:
            # The database may grow no further: what SQLite says then is what a full disk says.
            connection.execute("PRAGMA max_page_count = 1")

        event.listen(engine, "connect", fill)
        with pytest.raises(LedgerUnavailable, match="full"):
            ledger.record_plans(claim, house.plans(range(300)))
        event.remove(engine, "connect", fill)
        ledger.close()
        assert house.tallies_hold(ledger, job.run_id).counts.total == 300
        ledger.record_plans(claim, house.plans(range(300)))


def test_a_stopped_server_is_unavailable_until_it_is_back(own_postgres: PostgresServer) -> None:
    with open_ledger(own_postgres.url, wait_seconds=2) as ledger:
        job = house.job(ledger)
        claim = job.claim()
        ledger.record_plans(claim, house.plans([0, 1]))
        own_postgres.stop()
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="out of reach"):
                ledger.commit(claim, Batch(sent=(0,)))
        with pytest.raises(LedgerUnavailable):
            open_ledger(own_postgres.url, wait_seconds=2)
        own_postgres.start()
        ledger.commit(claim, Batch(sent=(0,)))
        own_postgres.stop()
        own_postgres.start()
        ledger.commit(claim, Batch(sent=(1,)))
        house.tallies_hold(ledger, job.run_id)


def test_a_connection_cut_inside_a_transaction_changes_nothing(
    own_postgres: PostgresServer,
) -> None:
    with open_ledger(own_postgres.url, wait_seconds=2) as ledger:
        job = house.job(ledger)
        reading = ledger.items(job.run_id)
        next(reading)

        def cut() -> None:
            with ledger._database.writing() as tx:
                tx.now()
                own_postgres.stop()
                tx.now()

        with pytest.raises(LedgerUnavailable):
            cut()
        own_postgres.start()
        assert len(list(reading)) == 9
        ledger.record_plans(job.claim(), house.plans([0]))


def test_a_row_that_another_holds_is_waited_for_only_so_long(postgres: PostgresServer) -> None:
    with postgres.schema() as url, open_ledger(url, wait_seconds=0.2) as ledger:
        job = house.job(ledger)
        claim = job.claim()
        with open_ledger(url) as second, second._database.writing() as tx:
            tx.connection.exec_driver_sql("SELECT 1 FROM shards FOR UPDATE")
            with pytest.raises(LedgerUnavailable, match="lock timeout"):
                ledger.record_plans(claim, house.plans([0]))
        ledger.record_plans(claim, house.plans([0]))


def test_a_password_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    secret = "hunter2-%s"  # not a format: it must not be taken for one either
    urls = [
        f"postgresql://operator:{secret}@127.0.0.1:1/ledger",
        f"postgresql://operator@127.0.0.1:1/ledger?password={secret}",
        f"mysql://operator:{secret}@127.0.0.1:1/ledger",
        f"{secret}://",
        f"postgresql://operator:{secret}@127.0.0.1:not-a-port/ledger",
    ]
    for url in urls:
        with pytest.raises((LedgerError, InvalidInput)) as refused:
            open_ledger(url, wait_seconds=1)
        assert secret not in "".join(traceback.format_exception(refused.value))
    assert secret not in caplog.text


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://h/d", "ledger.db"])
def test_a_url_that_is_no_ledger_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="sqlite:"):
        open_ledger(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("dataset_id,organism\n" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match="file/deeper"):
        open_ledger(f"sqlite:///{tmp_path / 'file' / 'deeper' / 'ledger.db'}")


def test_the_folder_of_a_new_ledger_is_made(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path / 'a' / 'b' / 'ledger.db'}") as ledger:
        ledger.create_run(house.run_id(1), house.spec(), RunOptions())
        assert not ledger.reaches_other_hosts


def test_what_is_open_says_where_it_is(ledger: Ledger, ledger_url: str) -> None:
    assert ledger.name.split(":", maxsplit=1)[0] == ledger_url.split(":", maxsplit=1)[0]
    assert "search_path" not in repr(ledger)
    assert ledger.reaches_other_hosts == ledger_url.startswith("postgresql")
