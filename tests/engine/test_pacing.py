"""How fast a running execution goes is known to whoever reaches its ledger."""

import threading
import time
from pathlib import Path

from polly_core.engine.meter import Progress
from polly_core.engine.overview import living, overview
from polly_core.engine.pacing import PaceTeller
from polly_core.engine.points import Point
from polly_core.errors import LedgerUnavailable
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Pace
from polly_core.models.run import Counts, ExecutionId, RunState
from tests.engine.clock import Clock
from tests.engine.rig import Rig
from tests.ledger import house

PROGRESS = Progress(counts=Counts(), rate=3.5, eta_seconds=None, concurrency=4, note="paused")


def test_it_is_told_every_few_seconds(tmp_path: Path) -> None:
    clock = Clock()
    looks: list[float] = []

    def progress() -> Progress:
        looks.append(clock.now)
        return PROGRESS.model_copy(update={"rate": float(len(looks))})

    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        job = house.job(ledger)
        teller = PaceTeller(ledger, job.execution_id, progress, seconds=3.0, clock=clock)
        rates: list[float | None] = []
        for _ in range(8):
            teller.look()
            clock.now += 1.0
            (execution,) = ledger.executions(job.run_id)
            rates.append(execution.pace.rate if execution.pace else None)
        assert rates == [None, None, None, 4, 4, 4, 7, 7]
        assert execution.pace == Pace(rate=7, eta_seconds=None, concurrency=4, note="paused")
        assert execution.pace_at is not None


def test_of_one_that_ended_nothing_is_recorded(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        job = house.job(ledger)
        ledger.end_execution(job.execution_id)
        ledger.tell_pace(
            job.execution_id, Pace(rate=1, eta_seconds=None, concurrency=1, note="late")
        )
        assert [one.pace for one in ledger.executions(job.run_id)] == [None]
        assert living(ledger, job.run_id) == ()


class Away(Ledger):
    """Out of reach."""

    def __init__(self) -> None:
        self.asked = 0

    def tell_pace(self, execution_id: ExecutionId, pace: Pace) -> None:
        self.asked += 1
        raise LedgerUnavailable("away")


def test_a_ledger_that_is_away_is_no_harm() -> None:
    away = Away()
    teller = PaceTeller(away, ExecutionId("x"), lambda: PROGRESS, seconds=0.0)
    teller.look()
    teller.look()
    assert away.asked == 2


def test_another_process_sees_how_fast_a_run_goes(rig: Rig) -> None:
    number = 200
    rig.fill(number)
    rig.hook = lambda point: time.sleep(0.1) if point is Point.SENDING else None
    request = rig.request(concurrency=2, shard_size=number)
    with rig.session(request) as session, open_ledger(rig.ledger_url) as ledger:
        session.freeze()
        (shard,) = session.open_shards()
        thread = threading.Thread(target=session.run_shard, args=(shard,))
        thread.start()
        try:
            deadline = time.monotonic() + 60
            while not any(one.pace for one in living(ledger, request.run_id)):
                assert time.monotonic() < deadline
                assert thread.is_alive()
                time.sleep(0.05)
            found = overview(ledger, ledger.run(request.run_id))
        finally:
            rig.hook = lambda _point: None
            thread.join()
        assert found.summary.state is RunState.RUNNING
        (live,) = found.live
        assert live.pace is not None
        assert live.pace.rate > 0
        assert live.pace.eta_seconds is not None
        assert live.pace.concurrency == 2
        session.finish()
        assert overview(ledger, ledger.run(request.run_id)).live == ()
