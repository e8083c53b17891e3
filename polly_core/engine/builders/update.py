"""Bulk update."""

from polly_core.engine.builders.base import Built, Workshop
from polly_core.engine.builders.manifestrows import placed
from polly_core.errors import InvalidInput
from polly_core.models.selection import SelectionKind
from polly_core.operations.newrow import DATA_COLUMN
from polly_core.operations.update import UpdateMetadata
from polly_core.planning.manifest import check_changes
from polly_core.planning.steps import Evaluator
from polly_core.planning.validation import Validator

_WITH_ROWS = frozenset({SelectionKind.MANIFEST, SelectionKind.FAILURES})


def build(workshop: Workshop) -> Built:
    """Raises ``InvalidInput`` where nothing is to be changed."""
    loaded, spec = workshop.loaded, workshop.spec
    assert loaded is not None
    if loaded.change.is_manifest_patch and spec.selection.kind not in _WITH_ROWS:
        raise InvalidInput(
            "nothing is to be changed: give steps (--change, --set, --unset, --rename), or a "
            "manifest whose metadata.* columns are the change"
        )
    by_rows = loaded.change.is_manifest_patch
    if by_rows and workshop.selection_file is not None:
        check_changes(workshop.selection_file)
    modules = workshop.surroundings.allowed_modules
    operation = UpdateMetadata(
        Evaluator(loaded, allowed_modules=modules),
        Validator(loaded, allowed_modules=modules),
        rows_bring_data=by_rows,
    )
    enrich = placed(spec.selection, having=DATA_COLUMN) if by_rows else None
    return Built(operation, workshop.ports.reader, enrich=enrich)
