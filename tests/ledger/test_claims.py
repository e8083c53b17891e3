"""Executions and the shards they own."""

import time

import pytest

from polly_core.errors import LedgerError, OwnershipLost, RunBusy
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch, ShardNo
from polly_core.models.run import ExecutionId, ItemState
from tests.ledger import house

SHORT = 0.05
"""Seconds of a lease that is to expire at once."""


def expire() -> None:
    time.sleep(2 * SHORT)


def test_an_execution_lives_until_it_ends(ledger: Ledger) -> None:
    job = house.job(ledger)
    (living,) = ledger.executions(job.run_id, living=True)
    assert (living.execution_id, living.process) == (job.execution_id, "host:1")
    assert living.ended_at is None
    assert (living.expires_at - living.started_at).total_seconds() == house.LONG

    ledger.end_execution(job.execution_id)
    assert ledger.executions(job.run_id, living=True) == []
    (ended,) = ledger.executions(job.run_id)
    assert ended.ended_at is not None
    with pytest.raises(OwnershipLost, match="was ended at"):
        ledger.renew_execution(job.execution_id, lease_seconds=house.LONG)


def test_renewing_keeps_an_execution_alive(ledger: Ledger) -> None:
    job = house.job(ledger, seconds=0.5)
    ledger.renew_execution(job.execution_id, lease_seconds=house.LONG)
    time.sleep(0.6)
    assert len(ledger.executions(job.run_id, living=True)) == 1


def test_an_expired_execution_can_do_nothing_more(ledger: Ledger) -> None:
    job = house.job(ledger)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0]))
    ledger.renew_execution(job.execution_id, lease_seconds=SHORT)
    expire()
    assert ledger.executions(job.run_id, living=True) == []
    for call in (
        lambda: ledger.renew_execution(job.execution_id, lease_seconds=house.LONG),
        lambda: ledger.commit(claim, Batch(sent=(0,))),
        lambda: ledger.record_plans(claim, house.plans([1])),
        lambda: ledger.lease(claim, [house.items(0, 1)[0].dataset_id]),
        job.claim,
    ):
        with pytest.raises(OwnershipLost, match="expired"):
            call()
    assert ledger.counts(job.run_id).of(ItemState.SENT) == 0


def test_the_seconds_of_executions_are_summed(ledger: Ledger) -> None:
    job = house.job(ledger)
    time.sleep(0.1)
    for _ in range(2):
        ledger.end_execution(job.execution_id)
    first = ledger.run(job.run_id).seconds
    assert first >= 0.1
    second = job.another_execution(seconds=0.2)
    time.sleep(0.4)
    ledger.declare_dead(second)
    assert first + 0.2 == pytest.approx(ledger.run(job.run_id).seconds), (
        "an expired execution counts until it expired"
    )


def test_two_executions_at_once_count_once(ledger: Ledger) -> None:
    job = house.job(ledger)
    second = job.another_execution()
    time.sleep(0.3)
    ledger.end_execution(job.execution_id)
    one = ledger.run(job.run_id).seconds
    ledger.end_execution(second)
    assert one >= 0.3
    assert one <= ledger.run(job.run_id).seconds < one + 0.3


def test_an_unknown_execution_is_refused(ledger: Ledger) -> None:
    job, unknown = house.job(ledger), ExecutionId("nobody")
    with pytest.raises(LedgerError, match="no execution nobody"):
        ledger.end_execution(unknown)
    for call in (
        lambda: ledger.renew_execution(unknown, lease_seconds=1),
        lambda: ledger.claim_shard(job.run_id, ShardNo(0), unknown),
    ):
        with pytest.raises(OwnershipLost, match="not known"):
            call()


def test_an_execution_of_another_run_owns_nothing(ledger: Ledger) -> None:
    job, other = house.job(ledger, 1), house.job(ledger, 2)
    with pytest.raises(OwnershipLost, match="not known for this run"):
        ledger.claim_shard(job.run_id, ShardNo(0), other.execution_id)


def test_a_shard_of_a_living_execution_is_not_given_away(ledger: Ledger) -> None:
    job = house.job(ledger)
    claim = job.claim()
    other = job.another_execution()
    with pytest.raises(RunBusy, match="host:1"):
        ledger.claim_shard(job.run_id, ShardNo(0), other)
    ledger.record_plans(claim, house.plans([0]))
    (shard,) = ledger.shards(job.run_id)
    assert (shard.owner, shard.epoch) == (job.execution_id, claim.epoch)


@pytest.mark.parametrize("how", ["ended", "declared dead", "expired"])
def test_a_shard_of_a_dead_execution_is_taken_over(ledger: Ledger, how: str) -> None:
    job = house.job(ledger, shards=2)
    stale = job.claim()
    ledger.record_plans(stale, house.plans([0]))
    other = job.another_execution()
    if how == "expired":
        ledger.renew_execution(job.execution_id, lease_seconds=SHORT)
        expire()
    elif how == "ended":
        ledger.end_execution(job.execution_id)
    else:
        ledger.declare_dead(job.execution_id)

    taken = ledger.claim_shard(job.run_id, ShardNo(0), other)
    assert taken.epoch > stale.epoch
    for call in (
        lambda: ledger.commit(stale, Batch(sent=(0,))),
        lambda: ledger.record_plans(stale, house.plans([1])),
        lambda: ledger.finish_shard(stale),
    ):
        with pytest.raises(OwnershipLost, match="must stop"):
            call()
    ledger.commit(taken, Batch(sent=(0,)))
    assert job.states()[:2] == [ItemState.SENT, ItemState.SELECTED]
    assert all(row.ended_at for row in ledger.executions(job.run_id) if row.execution_id != other)


def test_claiming_again_voids_an_earlier_attempt_of_the_same_execution(ledger: Ledger) -> None:
    job = house.job(ledger)
    first, second = job.claim(), job.claim()
    with pytest.raises(OwnershipLost):
        ledger.record_plans(first, house.plans([0]))
    ledger.record_plans(second, house.plans([0]))


def test_a_shard_is_done_when_nothing_of_it_is_open(ledger: Ledger) -> None:
    job = house.job(ledger, shards=2, size=2)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0, 1]))
    ledger.commit(claim, Batch(sent=(0, 1)))
    unknown = house.outcome(1, ItemState.UNKNOWN)
    ledger.commit(claim, Batch(outcomes=(house.outcome(0, ItemState.APPLIED), unknown)))
    assert ledger.finish_shard(claim) is False
    assert [shard.shard for shard in ledger.shards(job.run_id, open_only=True)] == [0, 1]

    claim = job.claim()
    ledger.commit(claim, house.applied([1]))
    assert ledger.finish_shard(claim) is True
    assert ledger.finish_shard(claim) is True, "said again after a lost answer"
    assert [shard.shard for shard in ledger.shards(job.run_id, open_only=True)] == [1]
    assert ledger.shards(job.run_id)[0].owner is None


def test_a_done_shard_can_be_verified_later(ledger: Ledger) -> None:
    job = house.job(ledger, size=1)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0]))
    ledger.commit(claim, Batch(sent=(0,)))
    ledger.commit(claim, house.applied([0]))
    assert ledger.finish_shard(claim)
    ledger.commit(job.claim(), Batch(verified=(0,)))
    assert ledger.shards(job.run_id, open_only=True) == []
    assert house.tallies_hold(ledger, job.run_id).counts.verified == 1


def test_an_unknown_shard_is_named(ledger: Ledger) -> None:
    job = house.job(ledger)
    with pytest.raises(LedgerError, match="has no shard 7"):
        job.claim(7)


def test_reopening_plans_again_what_did_not_end_well(ledger: Ledger) -> None:
    job = house.job(ledger, shards=2, size=3)
    claim = job.claim()
    ledger.record_plans(claim, house.plans([0, 1, 2]))
    ledger.commit(claim, Batch(sent=(0, 1)))
    ended = (
        house.outcome(0, ItemState.APPLIED),
        house.outcome(1, ItemState.FAILED, why="400"),
        house.outcome(2, ItemState.DRIFTED, why="moved"),
    )
    ledger.commit(claim, Batch(outcomes=ended))
    with pytest.raises(RunBusy, match="host:1"):
        ledger.reopen(job.run_id)
    assert ledger.finish_shard(claim)

    assert ledger.reopen(job.run_id, states=[ItemState.FAILED]) == 1
    assert ledger.reopen(job.run_id) == 1
    assert ledger.reopen(job.run_id) == 0
    found = list(ledger.items(job.run_id))
    assert [row.state for row in found[:3]] == [ItemState.APPLIED, *[ItemState.SELECTED] * 2]
    assert [(row.planned, row.reasons, row.outcome_at) for row in found[1:3]] == [
        (None, (), None)
    ] * 2
    assert [row.attempt for row in found[:3]] == [1, 1, 0]
    assert not ledger.shards(job.run_id)[0].done
    house.tallies_hold(ledger, job.run_id)
    ledger.record_plans(job.claim(), house.plans([1, 2]))


def test_only_what_can_be_planned_again_is_reopened(ledger: Ledger) -> None:
    job = house.job(ledger)
    with pytest.raises(LedgerError, match="are applied cannot be planned again"):
        ledger.reopen(job.run_id, states=[ItemState.FAILED, ItemState.APPLIED])
