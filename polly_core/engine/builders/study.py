"""Bulk moves between studies."""

from polly_core.engine.builders.base import Built, Workshop
from polly_core.errors import InvalidInput
from polly_core.models.operations import StudySpec
from polly_core.operations.study import MoveStudy


def build(workshop: Workshop) -> Built:
    """Raises ``InvalidInput`` where no study is named, neither for all nor by a manifest."""
    spec = workshop.description(StudySpec)
    rows = workshop.spec.selection
    by_row = rows.manifest_uri is not None or rows.failures_of is not None
    if spec.study_id is None and not spec.leave and not by_row:
        raise InvalidInput(
            "no study is named: give --to STUDY or --leave, or a manifest with a study_id column"
        )
    return Built(MoveStudy(spec), workshop.ports.reader)
