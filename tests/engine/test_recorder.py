"""Budget, control, and patience with the ledger."""

from typing import cast

import pytest

from polly_core.engine.pool import Gate
from polly_core.engine.recorder import LEDGER_GATE, Recorder
from polly_core.engine.stop import StopSignal
from polly_core.errors import LedgerError, LedgerUnavailable
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Control, Standing, Wanted
from polly_core.models.catalog import RunId
from polly_core.models.run import Allowance, Counts, ItemState, RunOptions, RunState, StopReason
from tests.engine.clock import Clock
from tests.engine.rig import Rig


def _recorder(budget: str = "10%") -> tuple[Recorder, Gate, StopSignal, Clock]:
    clock, gate, stop = Clock(), Gate(), StopSignal()
    options = RunOptions(budget=Allowance.parse(budget))
    nobody = cast("Ledger", None)
    recorder = Recorder(nobody, RunId("r"), options, gate=gate, stop=stop, clock=clock)
    return recorder, gate, stop, clock


def _standing(states: dict[str, int], wanted: Wanted = Wanted.RUN) -> Standing:
    counts = Counts(by_state={ItemState(name): number for name, number in states.items()})
    return Standing(counts=counts, control=Control(wanted=wanted))


@pytest.mark.parametrize(
    ("budget", "states", "stops"),
    [
        ("3", {"failed": 3}, False),
        ("3", {"failed": 2, "invalid": 1, "unknown": 1}, True),
        ("0", {"conflict": 1}, True),
        ("0", {"drifted": 50, "skipped": 5}, False),
        ("10%", {"failed": 99}, False),
        ("10%", {"failed": 10, "applied": 90}, False),
        ("10%", {"failed": 11, "applied": 89}, True),
        ("10%", {"failed": 11, "planned": 1000, "applied": 89}, True),
    ],
)
def test_the_budget_stops_the_run(budget: str, states: dict[str, int], stops: bool) -> None:
    recorder, _, stop, _ = _recorder(budget)
    recorder.judge(_standing(states))
    assert stop.is_set() is stops
    if stops:
        assert stop.reason is StopReason.BUDGET
        assert budget in stop.message


def test_an_operator_may_cancel() -> None:
    recorder, _, stop, _ = _recorder()
    recorder.judge(_standing({"applied": 5}, Wanted.CANCEL))
    assert stop.reason is StopReason.CANCELLED
    assert recorder.counts.of(ItemState.APPLIED) == 5


def test_a_ledger_that_comes_back_opens_the_gate_again() -> None:
    recorder, gate, stop, _ = _recorder()
    answers: list[Exception | None] = [LedgerUnavailable("away"), None]

    def statement() -> str:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        assert gate.closed_for() == (float("inf"), LEDGER_GATE)
        return "done"

    assert recorder.call(statement) == "done"
    assert gate.closed_for() == (0.0, "")
    assert not stop.is_set()


def test_after_a_minute_the_run_stops() -> None:
    recorder, gate, stop, clock = _recorder()
    tried = 0

    def statement() -> None:
        nonlocal tried
        tried += 1
        clock.now += 59.9 if tried == 1 else 60.1
        raise LedgerUnavailable("away")

    with pytest.raises(LedgerUnavailable):
        recorder.call(statement)
    assert tried == 2
    assert (stop.reason, stop.message) == (StopReason.CANNOT_PROCEED, "away")
    assert gate.closed_for()[0] > 0, "nothing may be sent any more"


def test_what_the_ledger_refuses_is_not_tried_again() -> None:
    recorder, gate, _, _ = _recorder()

    def statement() -> None:
        raise LedgerError("no such item")

    with pytest.raises(LedgerError, match="no such item"):
        recorder.call(statement)
    assert gate.closed_for() == (0.0, "")


def test_a_run_that_is_cancelled_through_the_ledger_stops(rig: Rig) -> None:
    rig.fill(60)
    request = rig.request(concurrency=2)

    with rig.session(request) as session:
        session.freeze()
        with open_ledger(rig.ledger_url) as ledger:
            ledger.set_control(request.run_id, Control(wanted=Wanted.CANCEL))
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
    assert summary.state is RunState.STOPPED
    assert summary.stop is StopReason.CANCELLED
    assert summary.exit_code == 130
    assert len(rig.fake.writes) < 60
