"""Bulk detaching: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

detach_shard = shard_task(OperationName.DETACH)
