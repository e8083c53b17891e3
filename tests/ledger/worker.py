"""Works on every shard of a run that it gets, at the ledger whose URL is given; says which."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from polly_core.errors import RunBusy
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.ledger.rows import Batch, ShardRow
from polly_core.models.run import ExecutionId, ItemState
from tests.ledger import house


def main(url: str) -> None:
    """Go on until no shard is open."""
    with open_ledger(url, wait_seconds=60) as ledger:
        run = house.run_id(1)
        execution = ledger.begin_execution(run, process="worker", lease_seconds=house.LONG)
        while shards := ledger.shards(run, open_only=True):
            for shard in shards:
                work(ledger, shard, execution)
            time.sleep(0.01)
        ledger.end_execution(execution)


def work(ledger: Ledger, shard: ShardRow, execution: ExecutionId) -> None:
    """Finish a shard, unless another process is at it or has finished it."""
    try:
        claim = ledger.claim_shard(shard.run_id, shard.shard, execution)
    except RunBusy:
        return
    states = [ItemState.SELECTED]
    seqs = [row.seq for row in ledger.items(shard.run_id, states=states, shard=shard.shard)]
    for start in range(0, len(seqs), 5):
        few = seqs[start : start + 5]
        ledger.record_plans(claim, house.plans(few))
        ledger.commit(claim, Batch(sent=tuple(few)))
        ledger.commit(claim, house.applied(few))
    if ledger.finish_shard(claim) and seqs:
        sys.stdout.write(f"{shard.shard}\n")


if __name__ == "__main__":
    main(sys.argv[1])
