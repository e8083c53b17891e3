"""Bulk deletion."""

from polly_core.engine.builders.base import Built, Workshop
from polly_core.models.operations import DeleteSpec
from polly_core.operations.delete import Delete


def build(workshop: Workshop) -> Built:
    """Raises ``InvalidInput`` for a description that is none."""
    spec = workshop.description(DeleteSpec)
    operation = Delete(spec, saved_in=workshop.saved_in)
    return Built(operation, workshop.ports.reader)
