"""Schema versions: created, kept, migrated, refused."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, func, inspect, select, text

from polly_core.errors import LedgerError, LedgerVersionError
from polly_core.ledger.database import Database
from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.migration import OURS, Schema, bring_up_to_date
from polly_core.ledger.rows import Batch, ShardNo
from polly_core.ledger.schema import schema_versions
from polly_core.models.run import ItemState, RunOptions, RunState
from tests.ledger import house
from tests.ledger.make_asset import PACE, asset
from tests.support.postgres import PostgresServer


def add_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE runs ADD COLUMN colour VARCHAR"))
    connection.execute(text("UPDATE runs SET colour = 'blue'"))


def add_taste_and_fail(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE runs ADD COLUMN taste VARCHAR"))
    connection.execute(text("SELECT 1 FROM nowhere"))


NEXT = Schema(version=OURS.version + 1, migrations={OURS.version + 1: add_colour})
BROKEN = Schema(
    version=OURS.version + 2,
    migrations={**NEXT.migrations, OURS.version + 2: add_taste_and_fail},
)


def version_and_columns(database: Database) -> tuple[int, set[str]]:
    with database.reading() as tx:
        version = tx.execute(select(func.max(schema_versions.c.version))).scalar_one()
        return version, {column["name"] for column in inspect(tx.connection).get_columns("runs")}


def restored(version: int, path: Path) -> str:
    """URL of a ledger as a program of that version left it."""
    connection = sqlite3.connect(path)
    connection.executescript(asset(version).read_text(encoding="utf-8"))
    connection.close()
    return f"sqlite:///{path}"


@pytest.mark.parametrize("version", range(1, OURS.version + 1))
def test_the_ledger_of_every_released_version_can_be_used(version: int, tmp_path: Path) -> None:
    with open_ledger(restored(version, tmp_path / "old.db")) as ledger:
        run = ledger.run(house.run_id(1))
        assert (run.spec, run.state, run.total) == (house.spec(), RunState.SELECTED, 6)
        states = [item.state for item in ledger.items(run.run_id)]
        S = ItemState  # noqa: N806
        assert states == [S.APPLIED, S.SENT, S.PLANNED, S.INVALID, S.SELECTED, S.SELECTED]
        assert house.tallies_hold(ledger, run.run_id).counts.verified == 1
        assert ledger.item(run.run_id, 1).planned == house.planned("d000001")
        for old in ledger.executions(run.run_id, living=True):
            ledger.declare_dead(old.execution_id)
        execution = ledger.begin_execution(run.run_id, process="new", lease_seconds=house.LONG)
        claim = ledger.claim_shard(run.run_id, ShardNo(0), execution)
        ledger.commit(claim, house.applied([1]))
        ledger.commit(claim, Batch(sent=(2,)))
        house.tallies_hold(ledger, run.run_id)
        ledger.reopen(run.run_id)
        house.tallies_hold(ledger, run.run_id)


def test_what_version_2_added_is_kept(tmp_path: Path) -> None:
    with open_ledger(restored(2, tmp_path / "old.db")) as ledger:
        run = house.run_id(1)
        done = house.step(1, "data", location="s3://new").result
        assert [item.done for item in ledger.items(run) if item.done] == [(done,)]
        assert [(one.plan_digest, one.by) for one in ledger.approvals(run)] == [
            ("digest", "curator")
        ]
        assert [row.run_id for row in ledger.runs_of_origin(run)] == [house.run_id(2)]


def test_what_version_3_added_is_kept(tmp_path: Path) -> None:
    with open_ledger(restored(3, tmp_path / "old.db")) as ledger:
        (execution,) = ledger.executions(house.run_id(1))
        assert execution.pace == PACE
        assert execution.pace_at is not None
        assert ledger.run(house.run_id(1)).broken == 0


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_ledger_takes_what_version_3_added(version: int, tmp_path: Path) -> None:
    with open_ledger(restored(version, tmp_path / "old.db")) as ledger:
        (execution,) = ledger.executions(house.run_id(1))
        assert (execution.pace, execution.pace_at) == (None, None)
        ledger.tell_pace(execution.execution_id, PACE)
        assert ledger.executions(house.run_id(1))[0].pace == PACE
        ledger.set_state(house.run_id(1), RunState.FINISHED, broken=2)
        assert ledger.run(house.run_id(1)).broken == 2


def test_a_ledger_of_version_1_takes_what_version_2_added(tmp_path: Path) -> None:
    with open_ledger(restored(1, tmp_path / "old.db")) as ledger:
        run = ledger.run(house.run_id(1))
        assert (run.origin, ledger.approvals(run.run_id)) == (None, [])
        assert all(item.done == () for item in ledger.items(run.run_id))
        ledger.set_plan_digest(run.run_id, "digest")
        ledger.approve(run.run_id, "digest", 0, "curator")
        undo = ledger.create_run(house.run_id(2), house.spec(), RunOptions(), origin=run.run_id)
        assert ledger.runs_of_origin(run.run_id) == [undo]


def back_to_1(connection: Connection) -> None:
    """Take away what later versions added, in PostgreSQL."""
    for statement in (
        "DROP TABLE steps",
        "DROP TABLE approvals",
        "ALTER TABLE runs DROP COLUMN origin_run_id",
        "ALTER TABLE runs DROP COLUMN copies_from",
        "ALTER TABLE runs DROP COLUMN broken",
        "ALTER TABLE executions DROP COLUMN pace",
        "ALTER TABLE executions DROP COLUMN pace_at",
        "UPDATE ledger_schema SET version = 1",
    ):
        connection.execute(text(statement))


def shape(url: str) -> dict[str, object]:
    """Columns, keys and indexes of every table, once the ledger was opened."""
    with open_ledger(url) as ledger, ledger._database.reading() as tx:
        found = inspect(tx.connection)
        return {
            name: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)],
                found.get_pk_constraint(name)["constrained_columns"],
                sorted(
                    (key["constrained_columns"], key["referred_table"])
                    for key in found.get_foreign_keys(name)
                ),
                sorted(str(index["name"]) for index in found.get_indexes(name)),
            )
            for name in found.get_table_names()
        }


def test_a_migrated_file_has_the_shape_of_a_new_one(tmp_path: Path) -> None:
    old = restored(1, tmp_path / "old.db")
    assert shape(old) == shape(f"sqlite:///{tmp_path / 'new.db'}")


def test_a_migrated_database_has_the_shape_of_a_new_one(postgres: PostgresServer) -> None:
    with postgres.schema() as url:
        new = shape(url)
        database = Database(url, wait_seconds=5)
        with database.writing() as tx:
            back_to_1(tx.connection)
            assert "steps" not in inspect(tx.connection).get_table_names()
        database.close()
        assert shape(url) == new


def test_a_change_of_the_tables_has_a_version_of_its_own(tmp_path: Path) -> None:
    """Fails when ``schema.py`` was changed and the version was not."""

    def tables(path: Path) -> set[str]:
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        statements = {" ".join(sql.split()) for (sql,) in found}
        connection.close()
        return statements

    with open_ledger(f"sqlite:///{tmp_path / 'new.db'}"):
        pass
    restored(OURS.version, tmp_path / "released.db")
    assert tables(tmp_path / "new.db") == tables(tmp_path / "released.db")


def test_an_older_ledger_is_migrated_once(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        house.freeze(ledger, house.run_id(1))
    database = Database(ledger_url, wait_seconds=5)
    for _ in range(2):
        bring_up_to_date(database, schema=NEXT)
        version, columns = version_and_columns(database)
        assert version == NEXT.version
        assert "colour" in columns
    with database.reading() as tx:
        assert tx.execute(text("SELECT colour FROM runs")).scalars().all() == ["blue"]
    database.close()


def test_a_migration_that_fails_changes_nothing(ledger_url: str) -> None:
    with open_ledger(ledger_url) as ledger:
        house.freeze(ledger, house.run_id(1))
    database = Database(ledger_url, wait_seconds=5)
    before = version_and_columns(database)
    with pytest.raises(LedgerError, match="nowhere"):
        bring_up_to_date(database, schema=BROKEN)
    assert version_and_columns(database) == before
    database.close()
    with open_ledger(ledger_url) as ledger:
        house.tallies_hold(ledger, house.run_id(1))


def test_a_newer_ledger_is_refused_and_left_alone(ledger_url: str) -> None:
    with open_ledger(ledger_url):
        pass
    database = Database(ledger_url, wait_seconds=5)
    bring_up_to_date(database, schema=NEXT)
    with pytest.raises(LedgerVersionError) as refused:
        open_ledger(ledger_url)
    said = str(refused.value)
    assert f"schema version {NEXT.version}, this program knows up to {OURS.version}" in said
    assert "use the polly-bulk that wrote it or a newer one" in said
    assert version_and_columns(database)[0] == NEXT.version
    database.close()


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (colour VARCHAR)"))
    engine.dispose()
    with pytest.raises(LedgerVersionError, match="tables named runs that are not a ledger's"):
        open_ledger(f"sqlite:///{path}")
