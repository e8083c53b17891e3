"""A flow in waves, and one that waits for approvals."""

import threading
import time

import pytest

from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.run import ItemState, RunState, StopReason
from polly_core.settings import Settings
from tests.flows.conftest import Bench, human

pytestmark = pytest.mark.timeout(300)


def _approve(wave: int, *, after: int) -> RunId:
    """Approve a wave of the newest run, once so many items are written and it is planned."""
    with open_ledger(Settings().ledger()) as ledger:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            runs = ledger.runs()
            if runs and runs[0].plan_digest:
                counts = ledger.counts(runs[0].run_id)
                if counts.of(ItemState.APPLIED) == after:
                    # It stays so: nothing goes on without the approval.
                    time.sleep(1.0)
                    assert ledger.counts(runs[0].run_id) == counts
                    ledger.approve(runs[0].run_id, runs[0].plan_digest, wave, "ada")
                    return runs[0].run_id
            time.sleep(0.1)
    raise AssertionError(f"{after} items were never written")


def test_waves_without_approval(bench: Bench) -> None:
    bench.fill(human(12))
    summary = bench.update(waves="2,50%", plan_first=True)
    assert summary.state is RunState.FINISHED
    assert summary.counts.by_state == {ItemState.APPLIED: 12}


def test_each_wave_waits_for_its_approval(bench: Bench) -> None:
    bench.fill(human(9))
    seen: list[RunId] = []

    def approve() -> None:
        seen.append(_approve(0, after=0))
        seen.append(_approve(2, after=3))
        seen.append(_approve(3, after=6))

    # Prefect's signals reach the main thread: the flow runs here.
    person = threading.Thread(target=approve)
    person.start()
    summary = bench.update(waves="3", approval="waves", plan_first=True)
    person.join(60)
    assert summary.counts.by_state == {ItemState.APPLIED: 9}
    assert set(seen) == {summary.run_id}
    with open_ledger(Settings().ledger()) as ledger:
        approvals = ledger.approvals(summary.run_id)
    assert [(one.wave, one.by) for one in approvals] == [(0, "ada"), (2, "ada"), (3, "ada")]
    assert {one.plan_digest for one in approvals} == {summary.plan_digest}


def test_nobody_approves(bench: Bench) -> None:
    bench.fill(human(3))
    summary = bench.update(approval="plan", plan_first=True, approval_timeout=2.0)
    assert summary.stop is StopReason.CANCELLED
    assert "not approved" in summary.message
    assert summary.counts.by_state == {ItemState.PLANNED: 3}
