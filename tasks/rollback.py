"""Bulk rollback: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

rollback_shard = shard_task(OperationName.ROLLBACK)
