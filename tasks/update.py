"""Bulk update: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

update_shard = shard_task(OperationName.UPDATE)
