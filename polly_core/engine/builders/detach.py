"""Bulk detaching."""

from polly_core.engine.builders.base import Built, Workshop
from polly_core.models.operations import DetachSpec
from polly_core.operations.detach import Detach


def build(workshop: Workshop) -> Built:
    """Items are the files that a manifest names."""
    spec = workshop.description(DetachSpec)
    operation = Detach(spec, saved_in=workshop.saved_in)
    return Built(operation, workshop.ports.reader, by_file=True)
