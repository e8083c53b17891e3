"""Finds the flow of an operation. It is imported when it is needed."""

import importlib

from flows.skeleton import Bulk
from polly_core.models.run import OperationName


def bulk_of(operation: OperationName) -> Bulk:
    """The flow that carries out, or takes up, runs of this operation."""
    found = importlib.import_module(f"flows.bulk_{operation.value}").BULK
    assert isinstance(found, Bulk)
    return found
