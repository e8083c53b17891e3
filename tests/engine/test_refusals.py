"""What cannot be done to one dataset is that dataset's matter: told, and nobody waits for it."""

import pytest

from polly_core.engine.planned import plan_of
from polly_core.engine.points import Point
from polly_core.ledger.ledger import open_ledger
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState
from tests.engine.rig import Rig, at_passing

WHEN: JsonObject = {"steps": [{"set": "young", "value": True, "when": "metadata.age < `3`"}]}


def _plan_counts(rig: Rig, run_id: RunId) -> dict[str, int]:
    with open_ledger(rig.ledger_url) as ledger:
        return plan_of(ledger, ledger.run(run_id)).summary.counts


def _leave() -> None:
    raise SystemExit("bye")


@pytest.mark.parametrize("barrier", [False, True])
def test_a_when_that_cannot_be_evaluated_is_told_alike_by_plan_and_run(
    rig: Rig, barrier: bool
) -> None:
    rig.fake.add("D0", {"age": 1})
    rig.fake.add("D1", {"age": "12"})
    rig.fake.add("D2", {"age": 7})
    summary = rig.run(rig.request(change=WHEN, barrier=barrier))
    assert summary.counts.by_state == {
        ItemState.APPLIED: 1,
        ItemState.UNCHANGED: 1,
        ItemState.INVALID: 1,
    }
    assert _plan_counts(rig, summary.run_id) == {"planned": 1, "unchanged": 1, "invalid": 1}
    (reason,) = rig.items(summary.run_id)[1].reasons
    assert reason == (
        "step 1 (set): when: 'metadata.age < `3`' cannot be evaluated: it compares values of "
        'different types, found metadata.age is "12"'
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("barrier", [False, True])
def test_an_item_whose_reading_ends_its_thread_is_invalid(rig: Rig, barrier: bool) -> None:
    rig.fill(5)
    rig.hook = at_passing(Point.READ, 3, _leave)
    summary = rig.run(rig.request(barrier=barrier))
    assert summary.counts.by_state == {ItemState.APPLIED: 4, ItemState.INVALID: 1}
    assert _plan_counts(rig, summary.run_id) == {"planned": 4, "invalid": 1}
    reasons = [row.reasons for row in rig.items(summary.run_id) if row.reasons]
    assert reasons == [("SystemExit: bye",)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", [Point.SENDING, Point.ANSWERED])
def test_a_write_whose_thread_ends_is_settled(rig: Rig, point: Point) -> None:
    rig.fill(5)
    rig.hook = at_passing(point, 3, _leave)
    summary = rig.run(rig.request())
    assert summary.counts.by_state == {ItemState.APPLIED: 5}
    assert len(rig.fake.writes) == 5
