"""Bulk ingestion: one shard."""

from polly_core.models.run import OperationName
from tasks.base import shard_task

ingest_shard = shard_task(OperationName.INGEST)
