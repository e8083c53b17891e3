"""Finds the flow and the task of an operation. They are imported when they are needed."""

import importlib

from prefect import Task

from flows.skeleton import Bulk, ShardTask
from polly_core.models.run import OperationName


def bulk_of(operation: OperationName) -> Bulk:
    """The flow that carries out, or takes up, runs of this operation."""
    found = importlib.import_module(f"flows.bulk_{operation.value}").BULK
    assert isinstance(found, Bulk)
    return found


def shard_task_of(operation: OperationName) -> ShardTask:
    """The task that takes one shard of such runs to its end."""
    name = f"{operation.value}_shard"
    found = getattr(importlib.import_module(f"tasks.{operation.value}"), name)
    assert isinstance(found, Task)
    return found
