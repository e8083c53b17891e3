"""Bulk attaching."""

from polly_core.engine.builders.base import Built, Workshop
from polly_core.engine.builders.manifestrows import placed, with_rows
from polly_core.models.operations import AttachSpec
from polly_core.operations.attach import Attach


def build(workshop: Workshop) -> Built:
    """Items are the files of a manifest. Raises ``InvalidInput`` where there is none."""
    selection = workshop.spec.selection
    with_rows(selection, "attached: give --manifest, a file with columns dataset_id and file")
    operation = Attach(workshop.description(AttachSpec), saved_in=workshop.saved_in)
    return Built(operation, workshop.ports.reader, enrich=placed(selection), by_file=True)
