"""Commits without end to the ledger at the URL given; says each commit once it succeeded.

It takes up the run wherever a killed one left it.
"""

import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.rows import Batch, ShardNo
from polly_core.models.run import ItemState
from tests.ledger import house


def main(url: str) -> None:
    """Send one half of the items, settle it, send the other half, and so on."""
    with open_ledger(url) as ledger:
        run = house.run_id(1)
        for dead in ledger.executions(run, living=True):
            ledger.declare_dead(dead.execution_id)
        execution = ledger.begin_execution(run, process="writer", lease_seconds=house.LONG)
        claim = ledger.claim_shard(run, ShardNo(0), execution)
        sent = [item.seq for item in ledger.items(run, states=[ItemState.SENT])]
        selected = [item.seq for item in ledger.items(run, states=[ItemState.SELECTED])]
        ledger.record_plans(claim, house.plans(selected))
        done = sum(item.attempt for item in ledger.items(run)) // 10
        for number in count(done):
            back = tuple(house.outcome(seq, ItemState.PLANNED) for seq in sent)
            half = 10 if 0 in sent else 0
            sent = list(range(half, half + 10))
            ledger.commit(claim, Batch(outcomes=back, sent=tuple(sent)))
            sys.stdout.write(f"{number}.\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
