import pytest

from polly_core.errors import LedgerError
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import NewShard, ShardNo
from polly_core.models.catalog import DatasetId
from polly_core.models.run import Item, ItemState, RunOptions, RunState
from tests.ledger import house

RUN = house.run_id(1)


@pytest.fixture
def selecting(ledger: Ledger) -> Ledger:
    ledger.create_run(RUN, house.spec(), RunOptions())
    return ledger


def shard(number: int, first: int, size: int, *, prefix: str = "d") -> NewShard:
    return NewShard(shard=ShardNo(number), items=house.items(first, size, prefix=prefix))


def test_what_is_frozen_is_read_back(selecting: Ledger) -> None:
    item = Item(
        seq=1,
        dataset_id=DatasetId("d1"),
        file_name="a/ü.txt",
        row={"n": 1.0, "big": 2**70, "text": "\ud800\0", "none": None},
    )
    first = NewShard(shard=ShardNo(0), pages=(None, "/next?p=2"), items=(*house.items(0, 1), item))
    selecting.add_shard(RUN, first)
    selecting.add_shard(RUN, shard(1, 2, 3))
    assert selecting.seal(RUN) == 5
    run = selecting.run(RUN)
    assert (run.total, run.state) == (5, RunState.SELECTED)
    assert [(s.shard, s.first_seq, s.size, s.pages) for s in selecting.shards(RUN)] == [
        (0, 0, 2, (None, "/next?p=2")),
        (1, 2, 3, ()),
    ]
    found = list(selecting.items(RUN))
    assert [row.item() for row in found] == [*first.items, *house.items(2, 3)]
    assert {row.state for row in found} == {ItemState.SELECTED}
    house.tallies_hold(selecting, RUN)


def test_nothing_selected_is_a_selection(selecting: Ledger) -> None:
    assert selecting.seal(RUN) == 0
    assert selecting.seal(RUN) == 0
    assert selecting.counts(RUN).total == 0
    assert list(selecting.items(RUN)) == []


def test_a_sealed_selection_stays(selecting: Ledger) -> None:
    selecting.add_shard(RUN, shard(0, 0, 2))
    selecting.seal(RUN)
    with pytest.raises(LedgerError, match="sealed with 2 items"):
        selecting.add_shard(RUN, shard(1, 2, 2))
    with pytest.raises(LedgerError, match="sealed with 2 items"):
        selecting.discard_selection(RUN)
    assert selecting.counts(RUN).total == 2


def test_the_same_shard_again_changes_nothing(selecting: Ledger) -> None:
    for _ in range(2):
        selecting.add_shard(RUN, shard(0, 0, 2))
    selecting.add_shard(RUN, shard(1, 2, 2))
    selecting.add_shard(RUN, shard(0, 0, 2))
    assert selecting.seal(RUN) == 4
    house.tallies_hold(selecting, RUN)


@pytest.mark.parametrize(
    "wrong",
    [
        shard(1, 4, 2),
        shard(1, 1, 2),
        shard(2, 3, 2),
        shard(0, 0, 2, prefix="other"),
        NewShard(shard=ShardNo(1), items=()),
        NewShard(shard=ShardNo(1), items=(*house.items(3, 1), *house.items(5, 1))),
    ],
)
def test_items_follow_on_each_other(selecting: Ledger, wrong: NewShard) -> None:
    selecting.add_shard(RUN, shard(0, 0, 3))
    with pytest.raises(LedgerError, match="does not follow"):
        selecting.add_shard(RUN, wrong)
    assert selecting.counts(RUN).total == 3


def test_a_dataset_is_selected_once(selecting: Ledger) -> None:
    selecting.add_shard(RUN, shard(0, 0, 3))
    twice = Item(seq=4, dataset_id=DatasetId("d000001"))
    with pytest.raises(LedgerError, match=r"'d000001' is twice .* item 1 and as item 4"):
        selecting.add_shard(RUN, NewShard(shard=ShardNo(1), items=(*house.items(3, 1), twice)))
    within = (*house.items(3, 1), twice.model_copy(update={"dataset_id": "d000003"}))
    with pytest.raises(LedgerError, match=r"'d000003' is twice .* item 3 and as item 4"):
        selecting.add_shard(RUN, NewShard(shard=ShardNo(1), items=within))
    files = tuple(
        Item(seq=3 + n, dataset_id=DatasetId("d000001"), file_name=f"{n}.txt") for n in range(2)
    )
    selecting.add_shard(RUN, NewShard(shard=ShardNo(1), items=files))
    assert selecting.seal(RUN) == 5


def test_an_interrupted_selection_begins_again(selecting: Ledger) -> None:
    selecting.add_shard(RUN, shard(0, 0, 3))
    selecting.discard_selection(RUN)
    assert selecting.counts(RUN).total == 0
    assert selecting.shards(RUN) == []
    selecting.add_shard(RUN, shard(0, 0, 2, prefix="other"))
    assert selecting.seal(RUN) == 2
    house.tallies_hold(selecting, RUN)
