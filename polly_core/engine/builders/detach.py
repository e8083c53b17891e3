"""Bulk detaching."""

from polly_core.engine.builders.base import Built, Workshop
from polly_core.engine.builders.manifestrows import with_rows
from polly_core.models.operations import DetachSpec
from polly_core.operations.detach import Detach


def build(workshop: Workshop) -> Built:
    """Items are the files that a manifest names. Raises ``InvalidInput`` where there is none."""
    with_rows(
        workshop.spec.selection,
        "removed: give --manifest, a file with columns dataset_id and file_name",
    )
    operation = Detach(workshop.description(DetachSpec), saved_in=workshop.saved_in)
    return Built(operation, workshop.ports.reader, by_file=True)
