"""Bulk attaching: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

attach_shard = shard_task(OperationName.ATTACH)
