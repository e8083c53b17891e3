"""The ledger goes away for a while: nothing is sent without a committed intent, nothing is lost."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from polly_core.engine.points import Point
from polly_core.errors import LedgerUnavailable
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import DatasetId, RunId
from polly_core.models.run import ItemState, RunState, RunSummary, StopReason
from polly_core.testing.fake import FakeCatalog
from polly_core.testing.faults import Fault
from tests.engine.child import short_leases
from tests.engine.rig import Rig, at_passing
from tests.support.postgres import PostgresServer

NUMBER = 60
AWAY_SECONDS = 1.5


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait for a lock or connection is short, so that an outage is noticed at once."""
    quick = partial(open_ledger, wait_seconds=0.2)
    monkeypatch.setattr("polly_core.engine.session.open_ledger", quick)


@contextmanager
def _locked(rig: Rig) -> Iterator[None]:
    """Another process holds the SQLite file's write lock."""
    path = rig.ledger_url.removeprefix("sqlite:///")
    holder = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        holder.rollback()
        holder.close()


class _Outage:
    """Begins at a point of the run and ends by itself."""

    def __init__(
        self, begin: Callable[[], object], end: Callable[[], object], seconds: float
    ) -> None:
        self._begin = begin
        self._timer = threading.Timer(seconds, end)

    def start(self) -> None:
        self._begin()
        self._timer.start()

    def over(self) -> None:
        """Wait for its end."""
        self._timer.join()


def _of_sqlite(rig: Rig) -> _Outage:
    held = _locked(rig)
    return _Outage(held.__enter__, lambda: held.__exit__(None, None, None), AWAY_SECONDS)


def _of_postgres(
    server: PostgresServer, keeper: Executor, seconds: float = AWAY_SECONDS
) -> _Outage:
    return _Outage(server.stop, lambda: keeper.submit(server.start).result(), seconds)


def _intended(rig: Rig, run_id: RunId) -> set[DatasetId]:
    return {row.dataset_id for row in rig.items(run_id) if row.state is ItemState.SENT}


def _written_once(rig: Rig, summary: RunSummary) -> None:
    assert summary.state is RunState.FINISHED
    assert summary.counts.by_state == {ItemState.APPLIED: NUMBER}
    assert len(rig.fake.writes) == NUMBER
    for n in range(NUMBER):
        assert len(rig.fake.versions(DatasetId(f"D{n:04}"))) == 2


@pytest.mark.parametrize(
    ("point", "passing"),
    [
        (Point.OWNED, 1),
        (Point.PLANNED, 2),
        (Point.INTENDED, 1),
        (Point.INTENDED, 4),
        (Point.ANSWERED, 7),
        (Point.RECORDED, 3),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_locked_file_is_waited_for(
    tmp_path: Path, point: Point, passing: int, caplog: pytest.LogCaptureFixture
) -> None:
    """And whatever is sent meanwhile had its intent committed before."""
    unintended: list[DatasetId] = []

    def check(dataset_id: DatasetId, _number: int) -> Fault | None:
        if dataset_id not in _intended(rig, request.run_id):
            unintended.append(dataset_id)
        return None

    rig = Rig(tmp_path, FakeCatalog("9", choose_fault=check))
    rig.fill(NUMBER)
    request = rig.request()
    outage = _of_sqlite(rig)
    rig.hook = at_passing(point, passing, outage.start)
    summary = rig.run(request)
    outage.over()
    assert "writes are held" in caplog.text, "the outage was not noticed"
    assert unintended == []
    _written_once(rig, summary)


@pytest.mark.usefixtures("impatient")
def test_longer_than_patience_stops_the_run_resumable(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polly_core.engine.recorder.LEDGER_PATIENCE", 0.5)
    rig.fill(NUMBER)
    request = rig.request()
    held = _locked(rig)
    rig.hook = at_passing(Point.ANSWERED, 30, held.__enter__)
    stopping: list[StopReason | None] = []
    try:
        with (  # noqa: PT012
            short_leases(1.0),
            pytest.raises(LedgerUnavailable),
            rig.session(request) as session,
        ):
            session.freeze()
            for shard in session.open_shards():
                session.run_shard(shard)
            stopping.append(session.stopping)
            assert session.finish().exit_code == 3
    finally:
        held.__exit__(None, None, None)
    assert stopping == [StopReason.CANNOT_PROCEED]
    sent = len(rig.fake.writes)
    assert 30 <= sent < NUMBER
    rig.hook = lambda _point: None
    _written_once(rig, rig.take_up(request.run_id))


@pytest.mark.parametrize(
    ("point", "passing"), [(Point.INTENDED, 3), (Point.ANSWERED, 11), (Point.OWNED, 2)]
)
@pytest.mark.usefixtures("impatient")
def test_a_postgresql_that_restarts_is_waited_for(
    tmp_path: Path,
    postgres: PostgresServer,
    keeper: Executor,
    point: Point,
    passing: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with postgres.schema() as url:
        rig = Rig(tmp_path, FakeCatalog("9"), ledger_url=url)
        rig.fill(NUMBER)
        outage = _of_postgres(postgres, keeper)
        rig.hook = at_passing(point, passing, outage.start)
        summary = rig.run(rig.request())
        outage.over()
        assert "writes are held" in caplog.text, "the outage was not noticed"
        _written_once(rig, summary)


@pytest.mark.parametrize("phase", ["plan", "open_shards", "run_shard", "finish"])
@pytest.mark.usefixtures("impatient")
def test_a_postgresql_that_is_away_between_phases_is_waited_for(
    tmp_path: Path, postgres: PostgresServer, keeper: Executor, phase: str
) -> None:
    with postgres.schema() as url:
        rig = Rig(tmp_path, FakeCatalog("9"), ledger_url=url)
        rig.fill(NUMBER)
        outage = _of_postgres(postgres, keeper)

        def go_away_before(now: str) -> None:
            if now == phase:
                outage.start()

        try:
            with rig.session(rig.request(barrier=True)) as session:
                session.freeze()
                go_away_before("plan")
                session.plan()
                go_away_before("open_shards")
                shards = session.open_shards()
                go_away_before("run_shard")
                for shard in shards:
                    session.run_shard(shard)
                go_away_before("finish")
                summary = session.finish()
        finally:
            outage.over()
        _written_once(rig, summary)


@pytest.mark.usefixtures("impatient")
def test_a_postgresql_that_stays_away_stops_the_run_resumable(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polly_core.engine.recorder.LEDGER_PATIENCE", 0.5)
    with postgres.schema() as url:
        rig = Rig(tmp_path, FakeCatalog("9"), ledger_url=url)
        rig.fill(NUMBER)
        request = rig.request()
        rig.hook = at_passing(Point.ANSWERED, 25, postgres.stop)
        try:
            with short_leases(1.0), pytest.raises(LedgerUnavailable):
                rig.run(request)
        finally:
            postgres.start()
        assert 25 <= len(rig.fake.writes) < NUMBER
        rig.hook = lambda _point: None
        _written_once(rig, rig.take_up(request.run_id))


@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [10.0, 90.0])
def test_the_literal_outages(
    tmp_path: Path, postgres: PostgresServer, keeper: Executor, seconds: float
) -> None:
    """Ten seconds are waited for; ninety are more than a minute of patience."""
    with postgres.schema() as url:
        rig = Rig(tmp_path, FakeCatalog("9"), ledger_url=url)
        rig.fill(NUMBER)
        request = rig.request()
        outage = _of_postgres(postgres, keeper, seconds)
        rig.hook = at_passing(Point.INTENDED, 3, outage.start)
        if seconds < 60:
            summary = rig.run(request)
            outage.over()
        else:
            stopped = rig.run(request)
            outage.over()
            assert (stopped.state, stopped.exit_code) == (RunState.STOPPED, 3)
            assert len(rig.fake.writes) < NUMBER
            rig.hook = lambda _point: None
            summary = rig.take_up(request.run_id)
        _written_once(rig, summary)
