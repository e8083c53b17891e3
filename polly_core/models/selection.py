"""Which items a run is about, before they are frozen."""

from enum import StrEnum

from pydantic import model_validator

from polly_core.models.catalog import RunId, StudyId
from polly_core.models.jsonvalue import Model


class SelectionKind(StrEnum):
    """How the items are found."""

    ALL = "all"
    IDS = "ids"
    STUDY = "study"
    WHERE = "where"
    MANIFEST = "manifest"
    FAILURES = "failures"
    WRITTEN = "written"


class Selection(Model):
    """How items are found. At most one source; ``where`` may narrow any of them.

    ``ids_uri`` and ``manifest_uri`` are paths or URIs, pinned by ``digests`` once they were read.
    """

    study: StudyId | None = None
    where: str | None = None
    """JMESPath over dataset_id, data_type, study_id, last_modified_at, metadata."""
    ids: tuple[str, ...] | None = None
    ids_uri: str | None = None
    manifest_uri: str | None = None
    failures_of: RunId | None = None
    written_by: RunId | None = None
    """What this run wrote."""
    source_digest: str | None = None
    """SHA-256 of the file the selection refers to, in hex."""

    @model_validator(mode="after")
    def _one_source(self) -> "Selection":
        sources = {
            "--study": self.study,
            "ids": self.ids,
            "--ids": self.ids_uri,
            "--manifest": self.manifest_uri,
            "--failed-of": self.failures_of,
            "the items of a run": self.written_by,
        }
        given = [name for name, value in sources.items() if value is not None]
        if len(given) > 1:
            raise ValueError(
                f"a selection has one source, found {len(given)}: {', '.join(given)}; "
                "keep one of them (--where may be added to any)"
            )
        return self

    @property
    def kind(self) -> SelectionKind:
        """The source the items come from; WHERE only when nothing but a filter is given."""
        if self.ids is not None or self.ids_uri is not None:
            return SelectionKind.IDS
        if self.manifest_uri is not None:
            return SelectionKind.MANIFEST
        if self.failures_of is not None:
            return SelectionKind.FAILURES
        if self.written_by is not None:
            return SelectionKind.WRITTEN
        if self.study is not None:
            return SelectionKind.STUDY
        return SelectionKind.WHERE if self.where is not None else SelectionKind.ALL
