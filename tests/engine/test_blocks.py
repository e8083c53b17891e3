"""A run in blocks: the same whenever it is asked, and open as long as something is to be done."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from polly_core.engine.blocks import BlockRange, grouped
from polly_core.engine.request import RunRequest
from polly_core.engine.waves import WaveRange
from polly_core.ledger.rows import ShardNo, ShardRow, Wanted
from polly_core.models.catalog import RunId
from polly_core.models.run import ItemState, RunState, StopReason, Wave
from tests.engine.rig import Rig

ALL = WaveRange(number=1, first=0, end=None, size=0, of=1)


def shards(*sizes: int) -> list[ShardRow]:
    """Consecutive ones."""
    return [
        ShardRow(run_id=RunId("r"), shard=ShardNo(at), first_seq=sum(sizes[:at]), size=size)
        for at, size in enumerate(sizes)
    ]


def spans(blocks: list[BlockRange]) -> list[tuple[int, int, int]]:
    return [(block.first, block.last, block.items) for block in blocks]


def test_whole_shards_until_there_are_as_many_items() -> None:
    assert spans(grouped(shards(*[10] * 12), ALL, 40)) == [(0, 3, 40), (4, 7, 40), (8, 11, 40)]
    assert spans(grouped(shards(10, 10, 3), ALL, 15)) == [(0, 1, 20), (2, 2, 3)]
    assert spans(grouped(shards(10, 10), ALL, 3)) == [(0, 0, 10), (1, 1, 10)]
    assert grouped([], ALL, 40) == []


def test_a_wave_has_blocks_of_its_own_items() -> None:
    """Shards on its border belong to the blocks of both waves, each with what is of it."""
    first = WaveRange(number=1, first=0, end=25, size=25, of=2)
    second = WaveRange(number=2, first=25, end=None, size=35, of=2)
    rows = shards(*[10] * 6)
    assert spans(grouped(rows, first, 20)) == [(0, 1, 20), (2, 2, 5)]
    assert spans(grouped(rows, second, 20)) == [(2, 4, 25), (5, 5, 10)]
    assert [str(block) for block in grouped(rows, first, 20)] == [
        "shards 0-1 of wave 1",
        "shard 2 of wave 1",
    ]


@given(
    sizes=st.lists(st.integers(1, 30), max_size=40),
    items=st.integers(1, 200),
    first=st.integers(0, 100),
    size=st.integers(0, 300),
)
def test_every_item_of_a_wave_is_in_one_block(
    sizes: list[int], items: int, first: int, size: int
) -> None:
    wave = WaveRange(number=2, first=first, end=first + size, size=size, of=3)
    blocks = grouped(shards(*sizes), wave, items)
    of_wave = max(0, min(sum(sizes), first + size) - first)
    assert sum(block.items for block in blocks) == of_wave
    for before, after in itertools.pairwise(blocks):
        assert before.last + 1 == after.first
        assert before.items >= items


def test_who_planned_a_run_lets_others_have_its_shards(rig: Rig) -> None:
    """Two waves of a run, block by block, by other executions; the one that planned finishes it."""
    rig.fill(60)
    request = rig.request(barrier=True, waves=(Wave.parse("30"),))
    with rig.session(request) as parent:
        parent.freeze()
        parent.plan()
        for wave in parent.waves():
            assert parent.open_shards(wave)
            parent.blocks.give_up()
            blocks = parent.blocks.of(wave, 20)
            assert spans(blocks) == [[(0, 0, 20), (1, 1, 10)], [(1, 2, 30)]][wave.number - 1]
            for block in blocks:
                assert parent.blocks.is_open(block)
                take(rig, request.run_id, block)
                assert not parent.blocks.is_open(block)
                done = parent.blocks.counts(block)
                assert done.by_state == {ItemState.APPLIED: block.items}
            assert parent.conclude(wave)
        assert parent.finish().state is RunState.FINISHED
    assert {row.state for row in rig.items(request.run_id)} == {ItemState.APPLIED}
    assert {row.attempt for row in rig.items(request.run_id)} == {1}


def take(rig: Rig, run_id: RunId, block: BlockRange) -> None:
    """What the process of a block does."""
    with rig.session(RunRequest(run_id=run_id)) as child:
        found = child.blocks.block(block.wave, block.first, block.last)
        assert found == block
        for shard in child.take_block(found):
            child.run_shard(shard)


def test_what_is_called_off_hears_it_and_what_comes_later_does_not(rig: Rig) -> None:
    rig.fill(20)
    request = rig.request(barrier=True)
    with rig.session(request) as parent:
        parent.freeze()
        parent.plan()
        parent.open_shards()
        assert parent.blocks.others() == []
        with rig.session(RunRequest(run_id=request.run_id)) as child:
            assert len(parent.blocks.others()) == 1
            parent.blocks.call_off()
            assert child._ledger.control(request.run_id).wanted is Wanted.CANCEL
            child.run_shard(0)
            assert child.stopping is StopReason.CANCELLED
            assert child.stop_message == "cancelled through the ledger"
        assert parent.blocks.others() == []
        parent.stop(StopReason.CANCELLED)
        parent.finish()
        parent.blocks.forget_control()
        assert parent._ledger.control(request.run_id).wanted is Wanted.RUN
    assert {row.state for row in rig.items(request.run_id)} == {ItemState.PLANNED}
