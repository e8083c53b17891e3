"""Bulk update: one shard."""

from prefect import State

from polly_core.ledger.rows import ShardNo
from polly_core.models.run import Counts
from tasks.base import core_task, said, session_of


@core_task(name="update-shard", run_name="shard-{shard}")
def update_shard(run_id: str, shard: int) -> State[Counts]:
    """Plan (where that is not done), apply and verify what is left of one shard."""
    with session_of(run_id) as session:
        return said(session.run_shard(ShardNo(shard)))
