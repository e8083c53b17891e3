"""Moves between studies."""

from polly_core.catalog.envelopes import check_id
from polly_core.catalog.ports import Reader
from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetRecord, StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import StudySpec
from polly_core.models.run import Invalid, Item, Planned, Skipped, StudyTarget, Unchanged
from polly_core.operations.base import Draft
from polly_core.operations.transition import Transition
from polly_core.planning.cells import NULL_MARK

STUDY_COLUMN = "study_id"


class MoveStudy(Transition):
    """Puts each dataset into a study, or out of any. Makes no version."""

    def __init__(self, spec: StudySpec) -> None:
        super().__init__()
        self._spec = spec

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        record = record or reader.dataset(item.dataset_id)
        try:
            target = self._target(item.row or {})
        except InvalidInput as error:
            return Invalid(reasons=(str(error),), version_seen=record.version_id)
        if target.study_id == record.study_id:
            return Unchanged(version_seen=record.version_id)
        return Draft(Planned(seen=record, study=target), None)

    def _target(self, row: JsonObject) -> StudyTarget:
        if STUDY_COLUMN not in row:
            if self._spec.study_id is None and not self._spec.leave:
                raise InvalidInput(
                    f"no study is named: its row has no {STUDY_COLUMN}; fill it in "
                    f"({NULL_MARK} for out of any study), or name one for all"
                )
            return StudyTarget(study_id=self._spec.study_id)
        named = row[STUDY_COLUMN]
        if named is None:
            return StudyTarget(study_id=None)
        check_id(str(named), STUDY_COLUMN)
        return StudyTarget(study_id=StudyId(str(named)))
