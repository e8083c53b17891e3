"""Takes back what a run did to each dataset, and keeps what others did since.

Still at our version: back to the version directly before ours. Others changed other fields: the
inverse patch on the metadata as it is now. They changed one of the same fields: the dataset is left
alone as a whole and listed for a decision.
"""

from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetRecord, VersionId
from polly_core.models.fieldpath import FieldPath
from polly_core.models.jsonvalue import Model
from polly_core.models.run import (
    WRITTEN,
    Invalid,
    Item,
    ItemState,
    Planned,
    Skipped,
    StepResult,
    StudyTarget,
    Unchanged,
)
from polly_core.operations.base import Draft, live, wanted_of
from polly_core.operations.keeping import keep
from polly_core.operations.stepping import DATASET
from polly_core.operations.transition import Transition
from polly_core.operations.undoing import (
    FilesBack,
    content_back,
    files_back,
    not_left_by,
    revived,
)
from polly_core.planning.diff import diff

DECISION = "needs a decision: "


class Undone(Model):
    """What a run did to an item, as its ledger row says."""

    planned: Planned
    state: ItemState
    version: VersionId | None = None
    done: tuple[StepResult, ...] = ()

    def did(self, step: str) -> bool:
        """Whether a step is known to have happened."""
        return self.state in WRITTEN or any(result.step == step for result in self.done)


class Undo(Transition):
    """Plans the inverse of what stands in each item's row.

    Args:
        fields: only these are undone; None means everything.
        save_bytes: download the files that it removes, below ``saved_in``.
    """

    calls_to_plan = True

    def __init__(
        self,
        fields: tuple[FieldPath, ...] | None = None,
        *,
        save_bytes: bool = False,
        saved_in: Path | None = None,
    ) -> None:
        super().__init__(saved_in=saved_in)
        self._fields = fields
        self._save_bytes = save_bytes

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        undone = Undone.model_validate(item.row)
        if undone.state in {ItemState.SENT, ItemState.UNKNOWN}:
            return Invalid(
                reasons=("it is not known whether it was written; resume the run first",)
            )
        passed_over = self._passed_over(undone.planned)
        if passed_over is not None:
            return Skipped(reason=passed_over)
        record = record or live(reader, undone.planned.dataset_id)
        if undone.planned.deletes:
            return self._revive(reader, undone, record)
        if undone.planned.seen is None:
            return self._remove(reader, undone, record)
        if record is None:
            return Invalid(reasons=(f"{DECISION}someone has deleted it since",))
        return self._revert(reader, undone, record)

    def _passed_over(self, planned: Planned) -> str | None:
        """Why it is left as it is, where that is so whatever became of it since."""
        if planned.triggers:
            return "an ingestion that was asked for cannot be taken back"
        if self._fields is not None and (planned.seen is None or planned.deletes):
            did = "deleted" if planned.deletes else "created"
            return f"the run {did} it, which fields alone cannot take back"
        return None

    def _revive(
        self, reader: Reader, undone: Undone, record: DatasetRecord | None
    ) -> Draft | Unchanged | Invalid:
        """Undo a deletion."""
        seen = undone.planned.seen
        assert seen is not None
        if record is not None:
            return _decide(f"it lives again, at version {record.version_id}", record)
        newest = reader.versions(seen.dataset_id, include_deleted=True)[0]
        if newest.version_id != seen.version_id:
            return _decide(f"it lived in between, up to version {newest.version_id}", None)
        metadata = reader.metadata(seen)
        back = revived(reader, undone)
        planned = Planned(
            creates=seen.dataset_id,
            ended=seen.version_id,
            patch=diff({}, metadata),
            wanted=wanted_of(seen, metadata),
            study=StudyTarget(study_id=seen.study_id) if seen.study_id else None,
            attach=back.attach,
            not_recoverable=back.lost,
        )
        return Draft(planned, metadata)

    def _remove(
        self, reader: Reader, undone: Undone, record: DatasetRecord | None
    ) -> Draft | Unchanged | Invalid:
        """Undo a creation, unless somebody has built on it."""
        if record is None:
            return Unchanged(version_seen=None)
        if record.version_id != undone.version:
            return _decide(
                f"it was changed since: we made version {undone.version}, "
                f"found {record.version_id}",
                record,
            )
        files = reader.files(record.dataset_id)
        foreign = not_left_by(undone, files)
        if foreign:
            return _decide(f"others have attached files: {', '.join(foreign)}", record)
        kept = keep(reader, files, save_bytes=self._save_bytes)
        planned = Planned(
            seen=record,
            deletes=True,
            files_before=kept.before,
            saves=kept.saves,
            not_recoverable=kept.not_recoverable,
        )
        return Draft(planned, None)

    def _revert(
        self, reader: Reader, undone: Undone, record: DatasetRecord
    ) -> Draft | Unchanged | Invalid:
        """Undo an edit: content, study and files, each where nobody else has touched it."""
        content = content_back(reader, undone, record, self._fields)
        back = FilesBack()
        study, disputes = None, list(content.disputes)
        if self._fields is None:
            study, dispute = _study_back(undone, record)
            disputes.extend(dispute)
            back = files_back(
                reader,
                undone,
                moves_data=content.moves_data(record),
                save_bytes=self._save_bytes,
            )
            disputes.extend(back.disputes)
        if disputes:
            return Invalid(
                reasons=tuple(DECISION + dispute for dispute in disputes),
                version_seen=record.version_id,
            )
        wanted = content.wanted(record)
        if wanted is None and study is None and not back.attach and not back.detach:
            return Unchanged(version_seen=record.version_id)
        planned = Planned(
            seen=record,
            patch=content.patch,
            wanted=wanted,
            study=study,
            attach=back.attach,
            detach=back.detach,
            files_before=back.kept.before,
            saves=back.kept.saves,
            not_recoverable=(*back.lost, *back.kept.not_recoverable),
        )
        return Draft(planned, content.metadata if content.patch else None)


def _decide(reason: str, record: DatasetRecord | None) -> Invalid:
    seen = record.version_id if record else None
    return Invalid(reasons=(DECISION + reason,), version_seen=seen)


def _study_back(undone: Undone, record: DatasetRecord) -> tuple[StudyTarget | None, list[str]]:
    planned = undone.planned
    if planned.study is None or planned.seen is None or not undone.did(DATASET):
        return None, []
    ours, before, now = planned.study.study_id, planned.seen.study_id, record.study_id
    if now == before:
        return None, []
    if now != ours:
        return None, [f"study: was {before}, set to {ours} by the run, found {now}"]
    return StudyTarget(study_id=before), []
