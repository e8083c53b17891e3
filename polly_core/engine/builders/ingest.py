"""Bulk ingestion."""

from collections.abc import Mapping

from polly_core.engine.builders.base import Built, Found, Workshop, described
from polly_core.models.operations import IngestSpec
from polly_core.models.run import OperationName, RunSpec
from polly_core.operations.ingest import PRIORITY_COLUMN, Ingest


def build(workshop: Workshop) -> Built:
    """Raises ``InvalidInput`` for a description that is none."""
    return Built(
        Ingest(),
        workshop.ports.reader,
        flags=flags_of(workshop.spec),
        batches=(_is_high, _is_middling, _is_low),
    )


def flags_of(spec: RunSpec) -> Mapping[str, bool]:
    """Indexing flags that go with every request of a run."""
    if spec.operation is not OperationName.INGEST:
        return {}
    flags = described(IngestSpec, spec.change).flags
    return {str(name): wanted for name, wanted in flags.items()}


def _is_high(found: Found) -> bool:
    return _said(found) == "high"


def _is_middling(found: Found) -> bool:
    """Medium, or nothing said: the run's priority is for all of those."""
    return not _is_high(found) and not _is_low(found)


def _is_low(found: Found) -> bool:
    return _said(found) == "low"


def _said(found: Found) -> object:
    return (found.row or {}).get(PRIORITY_COLUMN)
