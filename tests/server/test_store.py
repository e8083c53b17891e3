"""The database file: opening, units of work, what survives."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from polly_core.errors import CannotProceed, Unavailable
from polly_core.server import store as module
from polly_core.server.store import Store

INSERT = "INSERT INTO server (name, value) VALUES (?, ?)"


def names(store: Store) -> set[str]:
    with store.read() as connection:
        found = connection.exec_driver_sql("SELECT name FROM server").scalars()
        return set(found) - {"instance_id"}


def put(store: Store, name: str) -> None:
    with store.write() as connection:
        connection.exec_driver_sql(INSERT, (name, ""))


def test_the_instance_id_stays_with_the_file(tmp_path: Path) -> None:
    first = Store.open(tmp_path / "catalog.db")
    first.close()
    again = Store.open(tmp_path / "catalog.db")
    again.close()
    other = Store.open(tmp_path / "other.db")
    other.close()
    assert first.instance_id == again.instance_id != other.instance_id


def test_the_file_is_durable_and_readable_while_it_is_written(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "deep" / "folder" / "catalog.db")
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        connection.exec_driver_sql(INSERT, ("a", ""))
        assert names(store) == set(), "uncommitted"
    assert names(store) == {"a"}
    store.close()


def test_another_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(CannotProceed, match=r"schema version 99, this release knows 1\. Serve it"):
        Store.open(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_text("this is not a database, only text that is long enough to be read as one")
    with pytest.raises(CannotProceed, match="cannot be opened: file is not a database"):
        Store.open(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotProceed, match=r"file/catalog\.db cannot be opened"):
        Store.open(tmp_path / "file" / "catalog.db")


def test_an_exception_undoes_its_own_unit_only(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "catalog.db")
    put(store, "before")

    def repeat() -> None:
        with store.write() as connection:
            connection.exec_driver_sql(INSERT, ("lost", ""))
            connection.exec_driver_sql(INSERT, ("before", ""))

    with pytest.raises(IntegrityError):
        repeat()
    put(store, "after")
    assert names(store) == {"before", "after"}
    store.close()


def test_units_at_the_same_time_share_commits_and_all_are_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "catalog.db")
    barrier = threading.Barrier(16)
    failed: list[str] = []

    def work(worker: int) -> None:
        barrier.wait()
        for turn in range(20):
            try:
                with store.write() as connection:
                    connection.exec_driver_sql(INSERT, (f"{worker}-{turn}", ""))
                    if turn % 5 == worker % 5:
                        connection.exec_driver_sql(INSERT, ("instance_id", ""))
            except IntegrityError:
                failed.append(f"{worker}-{turn}")
                continue
            assert f"{worker}-{turn}" in names(store), "acknowledged, so visible"

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"{w}-{t}" for w in range(16) for t in range(20)}
    assert len(failed) == 64
    assert names(store) == expected - set(failed)
    store.close()


def test_a_failed_commit_is_told_to_everyone_in_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "catalog.db")
    errors: list[CannotProceed] = []
    inside = threading.Barrier(2)
    deferred = "CREATE TABLE child (parent TEXT REFERENCES server DEFERRABLE INITIALLY DEFERRED)"
    with store.write() as connection:
        connection.exec_driver_sql(deferred)

    def orphan() -> None:
        try:
            with store.write() as connection:
                connection.exec_driver_sql("INSERT INTO child VALUES ('nobody')")
                inside.wait()
        except CannotProceed as error:
            errors.append(error)

    def innocent() -> None:
        inside.wait()
        try:
            put(store, "innocent")
        except CannotProceed as error:
            errors.append(error)

    thread = threading.Thread(target=innocent)
    thread.start()
    orphan()
    thread.join()
    # The other came in time for the same commit, or had one of its own.
    assert "FOREIGN KEY constraint failed" in str(errors[0])
    assert ("innocent" in names(store)) == (len(errors) == 1)
    put(store, "later")
    assert "later" in names(store)
    store.close()


def test_a_turn_that_does_not_come_is_refused_as_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_WAIT_SECONDS", 0.05)
    store = Store.open(tmp_path / "catalog.db")
    other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as refused:
        put(store, "late")
    assert refused.value.status == 503
    assert refused.value.retry_after
    other.execute("ROLLBACK")
    other.close()
    put(store, "in time")
    assert names(store) == {"in time"}
    store.close()


WRITER = """
import sys
from pathlib import Path
from polly_core.server.store import Store
store = Store.open(Path(sys.argv[1]))
for number in range(10**9):
    with store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO server (name, value) VALUES (?, '')", (f"{sys.argv[2]}-{number}",)
        )
    print(f"{sys.argv[2]}-{number}", flush=True)
"""


def test_kill_9_loses_nothing_acknowledged_of_either_process(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    Store.open(path).close()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    acknowledged = set()
    for process in processes:
        assert process.stdout is not None
        acknowledged |= {process.stdout.readline().strip() for _ in range(20)}
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    for process in processes:
        rest, _ = process.communicate()
        acknowledged |= {line for line in rest.splitlines(keepends=True) if line.endswith("\n")}
    store = Store.open(path)
    assert {line.strip() for line in acknowledged} <= names(store)
    put(store, "alive")
    store.close()


def test_two_processes_may_make_the_file_at_the_same_time(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from polly_core.server.store import Store; "
        "print(Store.open(Path(sys.argv[1])).instance_id)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "catalog.db")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1
