"""Bulk creation of datasets from a manifest's rows."""

from collections.abc import Mapping
from dataclasses import dataclass

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound
from polly_core.models.catalog import DatasetId, DatasetRecord, FileRecord, VersionId
from polly_core.models.jsonvalue import digest
from polly_core.models.operations import CreateSpec, OnExisting
from polly_core.models.run import Invalid, Item, Planned, Skipped, Unchanged, Wanted
from polly_core.operations.base import Draft
from polly_core.operations.incoming import Incoming, IncomingData, Receiving, sample_problems
from polly_core.operations.keeping import keep
from polly_core.operations.newdata import NewData, files_lost
from polly_core.operations.newrow import NewRow, new_row, place_of
from polly_core.operations.sidefiles import SideFile, received, side_files, stands, target
from polly_core.operations.transition import Transition
from polly_core.planning.diff import diff


@dataclass(frozen=True, slots=True)
class _Standing:
    """What there is under an id."""

    record: DatasetRecord | None
    ended: VersionId | None = None
    """The newest version of earlier lives, where none is live."""
    files: Mapping[str, FileRecord] | None = None


@dataclass(frozen=True, slots=True)
class _Brought:
    """Everything that a row brings, read and found good."""

    row: NewRow
    data: IncomingData
    files: list[tuple[SideFile, Incoming]]


class CreateDatasets(Transition):
    """Creates a dataset for each row, with its data, metadata, study and supplementary files.

    Whether the id is there already is asked before a file is read, and again before it is
    uploaded; the service has the last word.
    """

    calls_to_plan = True

    def __init__(self, spec: CreateSpec) -> None:
        self._spec = spec

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        standing = _look(reader, item.dataset_id, record)
        there = standing.record
        if there is not None and self._spec.existing is OnExisting.SKIP:
            return Skipped(reason=f"it exists already, at version {there.version_id}")
        problems: list[str] = []
        brought = self._brought(reader, item, standing, problems)
        if there is not None and self._spec.existing is OnExisting.FAIL:
            problems.insert(
                0,
                f"dataset {item.dataset_id} exists already, at version {there.version_id}; "
                "choose --existing skip, update or update-if-different, or another id",
            )
        if problems or brought is None:
            place = place_of(item.row)
            version = there.version_id if there else None
            return Invalid(reasons=tuple(place + one for one in problems), version_seen=version)
        if there is None:
            return _new(item.dataset_id, standing.ended, brought)
        return self._onto(reader, there, standing.files or {}, brought)

    def _brought(
        self, reader: Reader, item: Item, standing: _Standing, problems: list[str]
    ) -> _Brought | None:
        """Everything that a row brings; every problem of it goes to ``problems``."""
        if item.row is None:
            problems.append(
                f"dataset {item.dataset_id} has no manifest row; give --manifest with its data"
            )
            return None
        receiving = Receiving(reader, self._fetcher)
        row = new_row(item, self._spec, problems)
        data = None
        if row.data:
            there = standing.record.data_location if standing.record else None
            data = receiving.data(
                item.dataset_id, row.data, row.data_format, problems, standing=there
            )
        if data is not None:
            problems.extend(sample_problems(row.metadata, data, self._spec.sample_field, row.data))
        wanted = side_files(item.row, problems)
        files = received(wanted, receiving, standing.files or {}, problems)
        return None if data is None else _Brought(row, data, files)

    def _onto(
        self,
        reader: Reader,
        record: DatasetRecord,
        files: Mapping[str, FileRecord],
        brought: _Brought,
    ) -> Draft | Unchanged:
        """The row put onto the dataset that lives under its id."""
        row = brought.row
        patch = diff(reader.metadata(record), row.metadata)
        data = NewData.onto(record, brought.data)
        study = row.study if row.study and row.study.study_id != record.study_id else None
        makes = (
            bool(patch)
            or data.differs
            or row.data_type != record.data_type
            or self._spec.existing is OnExisting.UPDATE
        )
        lost = files_lost(files.values(), data)
        attach = [
            (file, incoming)
            for file, incoming in brought.files
            if file.name in lost or not stands(file, incoming, files.get(file.name))
        ]
        if not makes and study is None and not attach:
            return Unchanged(version_seen=record.version_id)
        replaced = [files[file.name] for file, _ in attach if file.name in files]
        kept = keep(
            reader, {f.file_name: f for f in (*lost.values(), *replaced)}.values(), save_bytes=False
        )
        planned = Planned(
            seen=record,
            patch=patch,
            wanted=_wanted(brought, data) if makes else None,
            data=data.source,
            study=study,
            attach=tuple(target(file, inc, files.get(file.name)) for file, inc in attach),
            files_before=kept.before,
            side_effects=data.effects(lost, {file.name for file, _ in attach}),
            not_recoverable=kept.not_recoverable,
        )
        return Draft(planned, row.metadata if patch else None)


def _look(reader: Reader, dataset_id: DatasetId, record: DatasetRecord | None) -> _Standing:
    """One question where the id was never used, which most are."""
    ended: VersionId | None = None
    if record is None:
        try:
            history = reader.versions(dataset_id, include_deleted=True)
        except NotFound:
            return _Standing(None)
        ended = history[0].version_id if history else None
        try:
            record = reader.dataset(dataset_id)
        except NotFound:
            return _Standing(None, ended)
    files = {file.file_name: file for file in reader.files(dataset_id)}
    return _Standing(record, None, files)


def _new(dataset_id: DatasetId, ended: VersionId | None, brought: _Brought) -> Draft:
    row, data = brought.row, brought.data
    effect = (f"the id lived before, until version {ended}; its history goes on",) if ended else ()
    planned = Planned(
        creates=dataset_id,
        ended=ended,
        patch=diff({}, row.metadata),
        wanted=_wanted(brought, NewData.alone(data)),
        data=data.object.source,
        study=row.study if row.study and row.study.study_id else None,
        attach=tuple(target(file, incoming, None) for file, incoming in brought.files),
        side_effects=effect,
    )
    return Draft(planned, row.metadata)


def _wanted(brought: _Brought, data: NewData) -> Wanted:
    return Wanted(
        metadata_digest=digest(brought.row.metadata),
        data_type=brought.row.data_type,
        data_format=data.data_format,
        data_location=data.location,
    )
