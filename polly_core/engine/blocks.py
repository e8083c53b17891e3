"""A run in blocks of shards: what one process gives to others, and how far they have come."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from polly_core.engine.control import RunControl, reset
from polly_core.engine.execution import living_executions
from polly_core.engine.recorder import Recorder
from polly_core.engine.waves import WaveRange
from polly_core.ledger.rows import Claim, ExecutionRow, ItemRow, ShardRow
from polly_core.ledger.transitions import OPEN
from polly_core.models.run import Counts, ExecutionId, ItemState


@dataclass(frozen=True, slots=True)
class BlockRange:
    """Consecutive shards of one wave."""

    wave: WaveRange
    first: int
    last: int
    """Inclusive."""
    items: int
    """Of the wave, in these shards."""

    def __str__(self) -> str:
        what = f"shard {self.first}" if self.first == self.last else f"shards {self.shown}"
        return f"{what} of wave {self.wave.number}" if self.wave.of > 1 else what

    @property
    def shown(self) -> str:
        """Its shards, as in names."""
        return f"{self.first}-{self.last}"

    def has(self, shard: int) -> bool:
        """Whether a shard belongs to it."""
        return self.first <= shard <= self.last


def grouped(shards: Sequence[ShardRow], wave: WaveRange, items: int) -> list[BlockRange]:
    """The wave in blocks of about so many items: whole shards, until there are as many.

    Shards that are done count as well, so that the blocks are the same whenever it is asked.
    """
    found: list[BlockRange] = []
    for shard in shards:
        inside = _inside(shard, wave)
        if not inside:
            continue
        if found and found[-1].items < items:
            open_one = found.pop()
            found.append(BlockRange(wave, open_one.first, shard.shard, open_one.items + inside))
        else:
            found.append(BlockRange(wave, shard.shard, shard.shard, inside))
    return found


def _inside(shard: ShardRow, wave: WaveRange) -> int:
    """How many items of a shard belong to a wave."""
    end = shard.first_seq + shard.size
    if wave.end is not None:
        end = min(end, wave.end)
    return max(0, end - max(shard.first_seq, wave.first))


class Blocks:
    """The blocks of one run, as its ledger knows them. A ledger that is away is waited for."""

    def __init__(self, recorder: Recorder, execution_id: ExecutionId) -> None:
        self._recorder = recorder
        self._ledger = recorder.ledger
        self._run_id = recorder.run_id
        self._execution_id = execution_id

    def of(self, wave: WaveRange, items: int) -> list[BlockRange]:
        """Blocks of about so many items each, those included that are through."""
        return grouped(self._shards(), wave, items)

    def block(self, wave: WaveRange, first: int, last: int) -> BlockRange:
        """The block of these shards."""
        inside = [_inside(row, wave) for row in self._shards() if first <= row.shard <= last]
        return BlockRange(wave, first, last, sum(inside))

    def open_shards(self, block: BlockRange) -> list[int]:
        """Its shards that are not done. One that goes on into the next wave is among them."""
        return [row.shard for row in self._shards(open_only=True) if block.has(row.shard)]

    def is_open(self, block: BlockRange) -> bool:
        """Whether something of it, as far as its wave goes, is not done."""
        end = block.wave.end
        left = [row for row in self._shards(open_only=True) if block.has(row.shard)]
        if end is None or any(row.first_seq + row.size <= end for row in left):
            return bool(left)
        return any(self._recorder.call(partial(self._has_open_items, row, end)) for row in left)

    def counts(self, block: BlockRange) -> Counts:
        """Its items by state, every one of them read."""
        return self._recorder.call(partial(self._counts, block))

    def give_up(self) -> None:
        """Let others have the shards that this process owns, as it does where it has planned them.

        Those of which nothing is left are done with it.
        """
        for row in self._shards(open_only=True):
            if row.owner == self._execution_id:
                claim = Claim(
                    run_id=self._run_id, shard=row.shard, execution_id=row.owner, epoch=row.epoch
                )
                self._recorder.call(partial(self._ledger.finish_shard, claim))

    def others(self) -> list[ExecutionRow]:
        """Other executions of the run that are under way.

        This one may still be among the living, where the ledger could not be told of its end.
        """
        found = self._recorder.call(lambda: living_executions(self._ledger, self._run_id))
        return [one for one in found if one.execution_id != self._execution_id]

    def call_off(self) -> None:
        """Ask everything that executes the run to stop, as ``polly-bulk cancel`` does."""
        self._recorder.call(RunControl(self._ledger, self._run_id).cancel)

    def forget_control(self) -> None:
        """What was asked of the run was heard; it does not count for what comes later."""
        self._recorder.call(lambda: reset(self._ledger, self._run_id))

    def _shards(self, *, open_only: bool = False) -> list[ShardRow]:
        return self._recorder.call(lambda: self._ledger.shards(self._run_id, open_only=open_only))

    def _has_open_items(self, shard: ShardRow, end: int) -> bool:
        rows = self._ledger.items(
            self._run_id, states=OPEN, shard=shard.shard, limit=1, plans=False
        )
        return any(row.seq < end for row in rows)

    def _counts(self, block: BlockRange) -> Counts:
        states: Counter[ItemState] = Counter()
        verified = 0
        for row in self._rows(block):
            states[row.state] += 1
            verified += row.verified_at is not None
        return Counts(by_state=dict(states), verified=verified)

    def _rows(self, block: BlockRange) -> Iterator[ItemRow]:
        shards = [row for row in self._ledger.shards(self._run_id) if block.has(row.shard)]
        if not shards:
            return iter(())
        first = max(shards[0].first_seq, block.wave.first)
        end = shards[-1].first_seq + shards[-1].size
        if block.wave.end is not None:
            end = min(end, block.wave.end)
        rows = self._ledger.items(self._run_id, after=first - 1, plans=False)
        return takewhile(lambda row: row.seq < end, rows)
