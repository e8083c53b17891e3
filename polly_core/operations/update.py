"""Bulk update of metadata, data type and data."""

from collections.abc import Iterator

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetRecord
from polly_core.models.jsonvalue import JsonObject, digest
from polly_core.models.run import Invalid, Item, Planned, Skipped, Unchanged, Wanted
from polly_core.operations.base import Draft
from polly_core.operations.basing import read_base
from polly_core.operations.incoming import IncomingData, Receiving, sample_problems
from polly_core.operations.keeping import keep
from polly_core.operations.newdata import NewData, files_lost
from polly_core.operations.newrow import DATA_COLUMN, FORMAT_COLUMN, place_of, text_of
from polly_core.operations.transition import Transition
from polly_core.planning.diff import diff
from polly_core.planning.editing import Base
from polly_core.planning.steps import Evaluation, Evaluator, StepFailed
from polly_core.planning.validation import Validator

SAMPLE_FIELD = "sample_ids"


class UpdateMetadata(Transition):
    """Evaluates a change on each dataset and writes what it made, if it made anything.

    Where the rows of a manifest are the change, their column ``data`` names new data.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        validator: Validator | None = None,
        *,
        rows_bring_data: bool = False,
    ) -> None:
        self._evaluator = evaluator
        self._validator = validator
        self._rows_bring_data = rows_bring_data

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        record = record or reader.dataset(item.dataset_id)
        before = reader.metadata(record)
        problems: list[str] = []
        made = Evaluation(before, record.data_type)
        base: Base | None = None
        try:
            base = read_base(reader, record, before, item.row)
            made = self._evaluator.evaluate(record, before, item.row, base=base)
        except StepFailed as error:
            problems.extend(error.reasons)
        data = self._data(reader, item, record, made.metadata, problems)
        if base is not None and data is not None:
            problems.extend(_data_edited(base, record, data))
        if not problems and self._validator and made.metadata is not before:
            problems.extend(self._validator.new_problems(before, made.metadata))
        if problems:
            return Invalid(reasons=_placed(item, problems), version_seen=record.version_id)
        patch = diff(before, made.metadata)
        new = NewData.standing(record) if data is None else NewData.onto(record, data)
        if not patch and made.data_type == record.data_type and not new.differs:
            return Unchanged(version_seen=record.version_id)
        lost = files_lost(reader.files(record.dataset_id), new) if new.moves else {}
        kept = keep(reader, lost.values(), save_bytes=False)
        planned = Planned(
            seen=record,
            patch=patch,
            wanted=_wanted(made, new),
            data=new.source,
            files_before=kept.before,
            side_effects=new.effects(lost, ()),
            not_recoverable=kept.not_recoverable,
        )
        return Draft(planned, made.metadata if patch else None)

    def _data(
        self,
        reader: Reader,
        item: Item,
        record: DatasetRecord,
        metadata: JsonObject,
        problems: list[str],
    ) -> IncomingData | None:
        """The data that the row brings; what is wrong with it goes to ``problems``."""
        row = item.row or {}
        uri = text_of(row, DATA_COLUMN) if self._rows_bring_data else None
        if uri is None:
            return None
        found = Receiving(reader, self._fetcher).data(
            item.dataset_id,
            uri,
            text_of(row, FORMAT_COLUMN),
            problems,
            standing=record.data_location,
        )
        if found is not None:
            problems.extend(sample_problems(metadata, found, SAMPLE_FIELD, uri))
        return found


def _data_edited(base: Base, record: DatasetRecord, data: IncomingData) -> Iterator[str]:
    """Somebody else's new data is not replaced by a sheet that did not know it."""
    if base.data_location != record.data_location and not data.object.same:
        yield (
            f"data: the sheet was exported from version {base.version_id}, and the data was "
            f"replaced since: expected {base.data_location}, found {record.data_location}; export "
            "again, or empty the cell"
        )


def _placed(item: Item, problems: list[str]) -> tuple[str, ...]:
    place = place_of(item.row)
    return tuple(place + one for one in problems)


def _wanted(made: Evaluation, data: NewData) -> Wanted:
    return Wanted(
        metadata_digest=digest(made.metadata),
        data_type=made.data_type,
        data_format=data.data_format,
        data_location=data.location,
    )
