"""Bulk creation."""

from polly_core.engine.builders.base import Built, Workshop
from polly_core.engine.builders.manifestrows import placed
from polly_core.errors import InvalidInput
from polly_core.models.operations import CreateSpec
from polly_core.models.selection import SelectionKind
from polly_core.operations.create import CreateDatasets

_WITH_ROWS = {SelectionKind.MANIFEST, SelectionKind.FAILURES}


def build(workshop: Workshop) -> Built:
    """Raises ``InvalidInput`` where no manifest says what is to be created."""
    selection = workshop.spec.selection
    if selection.kind not in _WITH_ROWS:
        raise InvalidInput(
            "nothing says what is to be created: give --manifest, a file with a row for each "
            "dataset (columns dataset_id, data_type, data, metadata.* …)"
        )
    operation = CreateDatasets(workshop.description(CreateSpec))
    return Built(operation, workshop.ports.reader, enrich=placed(selection))
