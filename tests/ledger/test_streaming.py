"""Memory does not grow with the number of items."""

import gc
import tracemalloc

import pytest

from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import NewShard, PlanRow, ShardNo
from polly_core.models.run import RunOptions
from tests.ledger import house

TEXT = "human " * 500


def fill(ledger: Ledger, number: int, *, size: int) -> None:
    """A run of so many items, each with a plan of 3 KB."""
    run = house.run_id(number)
    ledger.create_run(run, house.spec(), RunOptions())
    for position, first in enumerate(range(0, size, 1000)):
        frozen = NewShard(shard=ShardNo(position), items=house.items(first, 1000))
        ledger.add_shard(run, frozen)
    ledger.seal(run)
    execution = ledger.begin_execution(run, process="p", lease_seconds=3600)
    plan = house.planned(value=TEXT)
    for shard in ledger.shards(run):
        claim = ledger.claim_shard(run, shard.shard, execution)
        seqs = range(shard.first_seq, shard.first_seq + shard.size)
        ledger.record_plans(claim, [PlanRow(seq=seq, decision=plan) for seq in seqs])


def peak_of_reading(ledger: Ledger, number: int, *, size: int) -> int:
    """Bytes at most held while every item is read once."""
    gc.collect()
    tracemalloc.start()
    try:
        assert sum(1 for _ in ledger.items(house.run_id(number))) == size
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def compare(ledger: Ledger, small: int, large: int) -> None:
    fill(ledger, 1, size=small)
    fill(ledger, 2, size=large)
    peak_of_reading(ledger, 1, size=small)
    few = peak_of_reading(ledger, 1, size=small)
    many = peak_of_reading(ledger, 2, size=large)
    assert few > 1_000_000, "a page is seen"
    assert many < 1.2 * few


def test_reading_holds_one_page(ledger: Ledger) -> None:
    compare(ledger, 1000, 3000)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_reading_100000_items_holds_one_page(ledger: Ledger) -> None:
    compare(ledger, 1000, 100_000)
