"""Bulk copy: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

copy_shard = shard_task(OperationName.COPY)
