"""Finds the builder of an operation. It is imported when it is needed: some bring much along."""

import importlib
from collections.abc import Callable

from polly_core.engine.builders.base import Built, Workshop
from polly_core.models.run import OperationName


def build(operation: OperationName, workshop: Workshop) -> Built:
    """The operation that a run's spec describes.

    Raises:
        InvalidInput: the description or the selection does not fit the operation.
    """
    module = importlib.import_module(f"polly_core.engine.builders.{operation.value}")
    builder: Callable[[Workshop], Built] = module.build
    return builder(workshop)
