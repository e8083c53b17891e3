"""Bulk moves between studies: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

study_shard = shard_task(OperationName.STUDY)
