"""Undo: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

undo_shard = shard_task(OperationName.UNDO)
