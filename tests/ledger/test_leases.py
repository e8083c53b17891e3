"""Two runs on one ledger never write one dataset at the same time."""

import time

import pytest

from polly_core.errors import OwnershipLost
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import Batch, Holders, NewShard, ShardNo
from polly_core.models.catalog import DatasetId
from polly_core.models.run import Item, ItemState, OperationName, RunOptions
from tests.ledger import house

A, B, C = DatasetId("d000000"), DatasetId("d000001"), DatasetId("d000002")


def test_a_leased_dataset_is_refused_to_other_runs(ledger: Ledger) -> None:
    mine, other = house.job(ledger, 1), house.job(ledger, 2)
    my_claim, other_claim = mine.claim(), other.claim()
    assert ledger.lease(my_claim, [B, A]) == Holders()
    assert ledger.lease(my_claim, [A, B]) == Holders(), "asking again changes nothing"
    refused = ledger.lease(other_claim, [A, C])
    assert refused == Holders(by_dataset={A: mine.run_id})
    assert ledger.lease(my_claim, [B, C]) == Holders(by_dataset={C: other.run_id})
    assert ledger.lease(my_claim, []) == Holders()


def test_a_released_dataset_is_free(ledger: Ledger) -> None:
    mine, other = house.job(ledger, 1), house.job(ledger, 2)
    my_claim, other_claim = mine.claim(), other.claim()
    ledger.lease(my_claim, [A, B, C])
    ledger.release(my_claim, [A])
    ledger.release(other_claim, [B])
    ledger.commit(my_claim, Batch(freed=(C,)))
    assert ledger.lease(other_claim, [A, B, C]) == Holders(by_dataset={B: mine.run_id})


def test_the_same_id_in_another_catalog_is_another_dataset(ledger: Ledger) -> None:
    mine = house.job(ledger, 1)
    ledger.lease(mine.claim(), [A])
    changes: list[dict[str, str | None]] = [
        {"atlas_id": "10"},
        {"instance_id": None},
        {"api_url": "http://127.0.0.1:8001"},
    ]
    for number, change in enumerate(changes, start=2):
        catalog = house.CATALOG.model_copy(update=change)
        run = house.run_id(number)
        ledger.create_run(run, house.spec(catalog=catalog), RunOptions())
        ledger.add_shard(run, NewShard(shard=ShardNo(0), items=house.items(0, 1)))
        ledger.seal(run)
        execution = ledger.begin_execution(run, process="p", lease_seconds=house.LONG)
        claim = ledger.claim_shard(run, ShardNo(0), execution)
        assert ledger.lease(claim, [A]) == Holders()


@pytest.mark.parametrize("how", ["ended", "declared dead", "expired"])
def test_leases_live_no_longer_than_their_execution(ledger: Ledger, how: str) -> None:
    mine, other = house.job(ledger, 1), house.job(ledger, 2)
    ledger.lease(mine.claim(), [A])
    if how == "expired":
        ledger.renew_execution(mine.execution_id, lease_seconds=0.05)
        time.sleep(0.1)
    elif how == "ended":
        ledger.end_execution(mine.execution_id)
    else:
        ledger.declare_dead(mine.execution_id)
    claim = other.claim()
    assert ledger.lease(claim, [A]) == Holders()
    ledger.end_execution(mine.execution_id)
    third = house.job(ledger, 3)
    assert ledger.lease(third.claim(), [A]) == Holders(by_dataset={A: other.run_id}), (
        "the end of the one that lost it frees nothing"
    )


def test_executions_of_one_run_do_not_refuse_each_other(ledger: Ledger) -> None:
    mine, other = house.job(ledger, 1, shards=2), house.job(ledger, 2)
    ledger.lease(mine.claim(0), [A])
    helper = mine.another_execution()
    claim = ledger.claim_shard(mine.run_id, ShardNo(1), helper)
    assert ledger.lease(claim, [A]) == Holders()
    assert ledger.lease(other.claim(), [A]) == Holders(by_dataset={A: mine.run_id})


def test_a_void_claim_leases_nothing(ledger: Ledger) -> None:
    mine, other = house.job(ledger, 1), house.job(ledger, 2)
    stale = mine.claim()
    mine.claim()
    with pytest.raises(OwnershipLost):
        ledger.lease(stale, [A])
    assert ledger.lease(other.claim(), [A]) == Holders()


@pytest.mark.parametrize("state", [ItemState.SENT, ItemState.UNKNOWN])
def test_who_takes_over_is_told_of_an_unsettled_write(ledger: Ledger, state: ItemState) -> None:
    dead, other = house.job(ledger, 1), house.job(ledger, 2)
    claim = dead.claim()
    ledger.lease(claim, [A, B, C])
    ledger.record_plans(claim, house.plans([0, 1]))
    ledger.commit(claim, Batch(sent=(0, 1)))
    outcomes = [house.outcome(1, ItemState.APPLIED)]
    if state is ItemState.UNKNOWN:
        outcomes.append(house.outcome(0, ItemState.UNKNOWN))
    ledger.commit(claim, Batch(outcomes=tuple(outcomes)))
    ledger.declare_dead(dead.execution_id)

    told = ledger.lease(other.claim(), [A, B, C]).unsettled
    assert set(told) == {A}
    assert (told[A].run_id, told[A].seq) == (dead.run_id, 0)
    assert told[A].sent_at == ledger.item(dead.run_id, 0).sent_at
    resumed = ledger.claim_shard(dead.run_id, ShardNo(0), dead.another_execution())
    ledger.commit(resumed, house.applied([0]))
    assert ledger.lease(other.claim(), [A]).unsettled == {}


def test_a_lease_is_kept_while_a_further_file_of_the_dataset_is_open(ledger: Ledger) -> None:
    run, other = house.run_id(1), house.job(ledger, 2)
    ledger.create_run(run, house.spec(operation=OperationName.ATTACH), RunOptions())
    for number in range(2):
        item = Item(seq=number, dataset_id=A, file_name=f"{number}.txt")
        ledger.add_shard(run, NewShard(shard=ShardNo(number), items=(item,)))
    ledger.seal(run)
    execution = ledger.begin_execution(run, process="p", lease_seconds=house.LONG)
    mine = house.Job(ledger=ledger, run_id=run, execution_id=execution)
    claims = [mine.claim(0), mine.claim(1)]
    held = Holders(by_dataset={A: run})
    for seq, claim in enumerate(claims):
        ledger.lease(claim, [A])
        ledger.record_plans(claim, house.plans([seq]))
        ledger.commit(claim, Batch(sent=(seq,)))
    done = house.applied([0]).model_copy(update={"freed": (A,)})
    ledger.commit(claims[0], done)
    assert ledger.lease(other.claim(), [A]) == held
    ledger.commit(claims[1], house.applied([1]).model_copy(update={"freed": (A,)}))
    assert ledger.lease(other.claim(), [A]) == Holders()
