"""Steps of items that are done before the item is through."""

import pytest

from polly_core.errors import LedgerError
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch
from polly_core.models.run import ItemState
from tests.ledger import house
from tests.ledger.house import outcome, step
from tests.ledger.test_items import bring

S = ItemState
DATA = step(0, "data", location="s3://atlas/9/new?versionId=1")
DATASET = step(0, "dataset", version_id="v2")
FILE = step(0, "attach:plot.png")
UNDER_WAY = {S.SENT, S.UNKNOWN, S.PLANNED}


def test_steps_are_read_back_in_the_order_they_were_recorded(ledger: Ledger) -> None:
    job = house.job(ledger, size=3)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0, 1, 2]))
    ledger.commit(claim, Batch(sent=(0, 1, 2)))
    ledger.commit(claim, Batch(steps=(DATA, step(2, "data", location="s3://other"))))
    ledger.commit(claim, Batch(steps=(DATASET, FILE)))
    done = (DATA.result, DATASET.result, FILE.result)
    assert ledger.item(job.run_id, 0).done == done
    assert [len(item.done) for item in ledger.items(job.run_id)] == [3, 0, 1]
    assert [item.seq for item in ledger.items(job.run_id) if item.done == done] == [0]
    assert all(item.done == () for item in ledger.items(job.run_id, plans=False))


def test_the_last_step_may_come_with_the_outcome(ledger: Ledger) -> None:
    job = house.job(ledger, size=2)
    claim = job.claim()
    bring(ledger, claim, 0, S.SENT)
    batch = Batch(steps=(DATA, DATASET), outcomes=(outcome(0, S.APPLIED),), verified=(0,))
    assert ledger.commit(claim, batch) == ledger.commit(claim, batch), "committed before"
    item = ledger.item(job.run_id, 0)
    assert (item.state, item.done) == (S.APPLIED, (DATA.result, DATASET.result))


@pytest.mark.parametrize("state", S)
def test_steps_are_recorded_of_items_under_way_only(ledger: Ledger, state: ItemState) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    bring(ledger, claim, 0, state)
    if state in UNDER_WAY:
        ledger.commit(claim, Batch(steps=(DATA,)))
        assert ledger.item(job.run_id, 0).done == (DATA.result,)
    else:
        with pytest.raises(LedgerError, match=f"is {state} and no step of it can be recorded"):
            ledger.commit(claim, Batch(steps=(DATA,)))
        assert ledger.item(job.run_id, 0).done == ()


def test_a_step_that_is_done_cannot_be_done_otherwise(ledger: Ledger) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    bring(ledger, claim, 0, S.SENT)
    ledger.commit(claim, Batch(steps=(DATA,)))
    with pytest.raises(LedgerError, match=r"step data of item 0 .*new\?versionId=1.*s3://else"):
        ledger.commit(claim, Batch(steps=(DATASET, step(0, "data", location="s3://else"))))
    assert ledger.item(job.run_id, 0).done == (DATA.result,)


def test_a_claim_records_steps_of_its_own_shard_only(ledger: Ledger) -> None:
    job = house.job(ledger, shards=2, size=1)
    bring(ledger, job.claim(1), 1, S.SENT)
    with pytest.raises(LedgerError, match=r"shard 0 .* has no item 1"):
        ledger.commit(job.claim(0), Batch(steps=(step(1, "data"),)))


def test_an_item_that_goes_back_keeps_its_steps(ledger: Ledger) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    bring(ledger, claim, 0, S.SENT)
    ledger.commit(claim, Batch(steps=(DATA,), outcomes=(outcome(0, S.PLANNED),), sent=(0,)))
    ledger.commit(claim, Batch(outcomes=(outcome(0, S.UNKNOWN),)))
    ledger.commit(claim, Batch(steps=(DATA,), outcomes=(outcome(0, S.PLANNED),)))
    assert ledger.item(job.run_id, 0).done == (DATA.result,)


def test_planning_again_forgets_the_steps(ledger: Ledger) -> None:
    job = house.job(ledger, size=2)
    claim = job.claim()
    for seq in (0, 1):
        bring(ledger, claim, seq, S.SENT)
    ledger.commit(claim, Batch(steps=(DATA, step(1, "data"))))
    ledger.record_plans(claim, house.plans([0]))
    assert [len(item.done) for item in ledger.items(job.run_id)] == [0, 1]


def test_reopening_forgets_the_steps(ledger: Ledger) -> None:
    job = house.job(ledger, size=2)
    claim = job.claim()
    for seq in (0, 1):
        bring(ledger, claim, seq, S.SENT)
    failed = (outcome(0, S.FAILED), outcome(1, S.APPLIED))
    ledger.commit(claim, Batch(steps=(DATA, step(1, "data")), outcomes=failed))
    ledger.finish_shard(claim)
    assert ledger.reopen(job.run_id) == 1
    assert [len(item.done) for item in ledger.items(job.run_id)] == [0, 1]


def test_what_has_changed_the_catalog_keeps_its_plan_when_it_is_reopened(ledger: Ledger) -> None:
    """What stood there before is known by the plan alone."""
    job = house.job(ledger, size=2)
    claim = job.claim()
    for seq in (0, 1):
        bring(ledger, claim, seq, S.SENT)
    failed = (outcome(0, S.FAILED), outcome(1, S.FAILED))
    ledger.commit(claim, Batch(steps=(DATA, step(1, "dataset")), outcomes=failed))
    ledger.finish_shard(claim)
    ledger.set_plan_digest(job.run_id, "d" * 64)
    assert ledger.reopen(job.run_id) == 2
    again, goes_on = ledger.items(job.run_id)
    assert (again.state, again.planned, again.done) == (S.SELECTED, None, ())
    assert goes_on.state is S.PLANNED
    assert goes_on.planned is not None
    assert [one.step for one in goes_on.done] == ["dataset"]
    assert ledger.run(job.run_id).plan_digest is None
    counts = ledger.counts(job.run_id)
    assert (counts.of(S.SELECTED), counts.of(S.PLANNED)) == (1, 1)
