"""Bulk deletion: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

delete_shard = shard_task(OperationName.DELETE)
