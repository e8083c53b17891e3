"""What each operation is asked to do, beside the selection: its description in a run's spec."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from polly_core.models.catalog import AtlasId, DatasetId, RunId, StudyId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection, SelectionKind

_WHOLE_ATLAS = frozenset({SelectionKind.ALL, SelectionKind.WHERE})


class OnExisting(StrEnum):
    """What becomes of an item whose dataset (or file) is there already."""

    FAIL = "fail"
    SKIP = "skip"
    UPDATE = "update"
    UPDATE_IF_DIFFERENT = "update-if-different"


class CopyOnExisting(StrEnum):
    """What becomes of a copy whose dataset lives at the destination already."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"
    NEWER = "newer"
    """Only where the source was modified later than the destination."""
    PROMOTE = "promote"
    """Three-way, since the last copy: what changed there as well is a conflict, left alone."""


class CreateSpec(Model):
    """Datasets from a manifest's rows."""

    existing: OnExisting = OnExisting.FAIL
    data_type: str | None = None
    """For rows that name none."""
    study_id: StudyId | None = None
    """For rows that name none."""
    sample_field: str = "sample_ids"
    """The metadata field that lists sample ids, to be those of the data file; empty: none."""


class RollbackSpec(Model):
    """To which version each dataset goes back; without any of these the manifest says it."""

    as_of: AwareDatetime | None = None
    back: int | None = Field(default=None, ge=1)
    before_run: RunId | None = None
    save_bytes: bool = False
    """Linked files that go with the data are kept in the user's folder."""

    @model_validator(mode="after")
    def _one(self) -> "RollbackSpec":
        given = [one for one in (self.as_of, self.back, self.before_run) if one is not None]
        if len(given) > 1:
            raise ValueError("--as-of, --back and --before-run exclude each other; keep one")
        return self

    def selecting(self, selection: Selection) -> Selection:
        """What is rolled back: before a run, where nothing else is named, what that run wrote."""
        if self.before_run is None or selection.kind not in _WHOLE_ATLAS:
            return selection
        return selection.model_copy(update={"written_by": self.before_run})


class CopySpec(Model):
    """From which atlas of the same service; items keep their ids."""

    from_atlas: AtlasId
    existing: CopyOnExisting = CopyOnExisting.FAIL
    files: bool = True
    """Supplementary files come along."""
    save_bytes: bool = False


IngestionFlag = Literal["file_metadata", "col_metadata", "row_metadata", "data_required"]


class IngestSpec(Model):
    """Indexing flags of the ingestions asked for (wire.md §7); priority is a run option."""

    flags: Mapping[IngestionFlag, bool] = Field(default_factory=dict)


class DeleteSpec(Model):
    """Deletion. Files go for good; ``save_bytes`` keeps a copy of them in the user's folder."""

    save_bytes: bool = False


class AttachSpec(Model):
    """Files of a manifest's rows."""

    existing: Literal["fail", "skip", "replace"] = "fail"
    save_bytes: bool = False


class DetachSpec(Model):
    """Files that a manifest's rows name are removed."""

    missing: Literal["fail", "skip"] = "fail"
    """What becomes of an item whose file is not there."""
    save_bytes: bool = False


class StudySpec(Model):
    """Into which study datasets go. A manifest's ``study_id`` column says it for each row."""

    study_id: StudyId | None = None
    leave: bool = False
    """Out of any study."""

    @model_validator(mode="after")
    def _one(self) -> "StudySpec":
        if self.study_id is not None and self.leave:
            raise ValueError("a study is named and left at once; keep one of them")
        return self


class UndoSpec(Model):
    """Which run is undone, and what of it; None means all that it wrote."""

    run_id: RunId
    dataset_ids: tuple[DatasetId, ...] | None = None
    fields: tuple[str, ...] | None = None
    """Only these metadata fields (and what is below them)."""
    save_bytes: bool = False


DESCRIPTIONS: Mapping[OperationName, type[Model]] = {
    OperationName.CREATE: CreateSpec,
    OperationName.ROLLBACK: RollbackSpec,
    OperationName.COPY: CopySpec,
    OperationName.INGEST: IngestSpec,
    OperationName.DELETE: DeleteSpec,
    OperationName.ATTACH: AttachSpec,
    OperationName.DETACH: DetachSpec,
    OperationName.STUDY: StudySpec,
    OperationName.UNDO: UndoSpec,
}
"""Of every operation but update, whose description is a ``Change``."""
