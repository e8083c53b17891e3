"""Bulk creation: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

create_shard = shard_task(OperationName.CREATE)
