"""The steps of a planned item, in order, and doing one of them."""

from collections.abc import Iterator

from polly_core.catalog.ports import ObjectKey, Ports
from polly_core.errors import InvalidInput
from polly_core.models.catalog import (
    DatasetChange,
    DatasetId,
    NewDataset,
    NewFile,
    VersionId,
    WriteStamp,
)
from polly_core.models.run import FileTarget, ObjectSource, Planned, StepResult
from polly_core.operations.base import Draft
from polly_core.operations.fetching import Fetcher

DATA = "data"
DATASET = "dataset"
SAVE, OBJECT, ATTACH, DETACH = "save:", "object:", "attach:", "detach:"


def steps_of(planned: Planned) -> Iterator[str]:
    """Names of the steps, in the order in which they are done."""
    for name in planned.saves:
        yield SAVE + name
    if planned.data is not None:
        yield DATA
    if planned.wanted or planned.study or planned.deletes or planned.triggers:
        yield DATASET
    for file in planned.attach:
        if file.source is not None:
            yield OBJECT + file.file_name
        yield ATTACH + file.file_name
    for name in planned.detach:
        yield DETACH + name


def left(planned: Planned, done: tuple[StepResult, ...]) -> list[str]:
    """Steps that are still to be done."""
    if not done:
        return list(steps_of(planned))
    names = {result.step for result in done}
    return [step for step in steps_of(planned) if step not in names]


def result_of(done: tuple[StepResult, ...], step: str) -> StepResult | None:
    """What a step came to, where it is done."""
    return next((result for result in done if result.step == step), None)


def location_of(done: tuple[StepResult, ...], step: str) -> str | None:
    """Where the object is that a step put into the atlas."""
    found = result_of(done, step)
    return found.location if found else None


def file_location(file: FileTarget, done: tuple[StepResult, ...]) -> str | None:
    """Where the object of a file is, as far as that is known."""
    return file.file_location or location_of(done, OBJECT + file.file_name)


def version_made(done: tuple[StepResult, ...]) -> VersionId | None:
    """The version that the item's own write made, where it did."""
    found = result_of(done, DATASET)
    return found.version_id if found else None


def do_step(
    ports: Ports, fetcher: Fetcher, draft: Draft, step: str, stamp: WriteStamp
) -> StepResult:
    """Do one step."""
    dataset_id = draft.planned.dataset_id
    planned = draft.planned
    # What a new dataset brings can be told from whatever an earlier life left at the same key.
    anew = planned.seen is None
    if step == DATASET:
        return StepResult(step=step, version_id=_dataset(ports, dataset_id, draft, stamp))
    if step == DATA:
        assert planned.data is not None
        key = ObjectKey(dataset_id, extension=planned.data.extension)
        return StepResult(step=step, location=_put(ports, fetcher, planned.data, key, anew=anew))
    if step.startswith(DETACH):
        ports.writer.detach(dataset_id, step.removeprefix(DETACH))
        return StepResult(step=step)
    file = next(f for f in planned.attach if f.file_name == step.partition(":")[2])
    if step.startswith(OBJECT):
        assert file.source is not None
        key = ObjectKey(dataset_id, file_name=file.file_name)
        return StepResult(step=step, location=_put(ports, fetcher, file.source, key, anew=anew))
    attached = ports.writer.attach(dataset_id, _new_file(file, draft))
    return StepResult(step=step, location=attached.file_location)


def _put(
    ports: Ports, fetcher: Fetcher, source: ObjectSource, key: ObjectKey, *, anew: bool = False
) -> str:
    if source.atlas_id is not None:
        return ports.store.copy(source.uri, key, atlas_id=source.atlas_id)
    with fetcher.planned(source) as path:
        return ports.store.upload(path, key, anew=anew)


def _dataset(
    ports: Ports, dataset_id: DatasetId, draft: Draft, stamp: WriteStamp
) -> VersionId | None:
    planned, writer = draft.planned, ports.writer
    if planned.deletes:
        writer.delete(dataset_id, stamp)
        return None
    if planned.triggers:
        writer.trigger(dataset_id, _asking(planned, stamp))
        return None
    if planned.seen is None:
        return writer.create(dataset_id, _new_dataset(draft), stamp).version_id
    made = writer.update(dataset_id, _change(draft), stamp).version_id
    return made if planned.wanted else None


def _asking(planned: Planned, stamp: WriteStamp) -> WriteStamp:
    if planned.priority is None:
        return stamp
    return stamp.model_copy(update={"priority": planned.priority})


def _new_dataset(draft: Draft) -> NewDataset:
    planned = draft.planned
    wanted, location = planned.wanted, _data_location(draft)
    assert wanted is not None
    assert location is not None
    return NewDataset(
        data_type=wanted.data_type,
        metadata=draft.metadata or {},
        data_s3_uri=location,
        data_format=wanted.data_format,
        study_id=planned.study.study_id if planned.study else None,
    )


def _data_location(draft: Draft) -> str | None:
    wanted = draft.planned.wanted
    return (wanted.data_location if wanted else None) or location_of(draft.done, DATA)


def _change(draft: Draft) -> DatasetChange:
    """What differs from the version seen.

    What is not named in the request keeps its location: no new metadata object for a change of
    type alone.
    """
    planned = draft.planned
    seen, wanted = planned.seen, planned.wanted
    assert seen is not None
    sent: set[str] = set()
    if planned.patch:
        sent.add("metadata")
    if wanted is not None and wanted.data_type != seen.data_type:
        sent.add("data_type")
    location = _data_location(draft)
    data_seen = (seen.data_location, seen.data_format)
    if wanted is not None and (location, wanted.data_format) != data_seen:
        sent.update({"data_s3_uri", "data_format"})
    if planned.study is not None:
        sent.add("study_id")
    if planned.wanted is not None and not sent - {"study_id"}:
        # The upload gave what was there already; the version is promised all the same.
        sent.add("data_type")
    # Not validated: the metadata is JSON already, and to walk through it again is not free.
    return DatasetChange.model_construct(
        sent,
        metadata=draft.metadata,
        data_type=wanted.data_type if wanted else None,
        data_s3_uri=location,
        data_format=wanted.data_format if wanted else None,
        study_id=planned.study.study_id if planned.study else None,
    )


def _new_file(file: FileTarget, draft: Draft) -> NewFile:
    location = file_location(file, draft.done)
    if location is None:
        raise InvalidInput(f"file {file.file_name!r} has no object to attach; plan again")
    seen = draft.planned.seen
    linked_to = version_made(draft.done) or (seen.version_id if seen else None)
    return NewFile(
        file_name=file.file_name,
        file_s3_uri=location,
        file_format=file.file_format,
        tag=file.tag,
        source_version_id=linked_to if file.linked else None,
    )
