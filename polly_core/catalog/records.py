"""Answers of the service as records."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from polly_core.errors import OutcomeUnknown, ReadFailed
from polly_core.models.catalog import (
    DatasetId,
    DatasetRecord,
    FileRecord,
    IngestionRecord,
    StudyId,
    VersionId,
    VersionRecord,
)
from polly_core.models.wire import (
    DatasetAttributes,
    FileAttributes,
    IngestionAttributes,
    Resource,
    VersionAttributes,
)
from polly_core.transport.answers import Answer

ModelT = TypeVar("ModelT", bound=BaseModel)


def decode(model: type[ModelT], answer: Answer, *, what: str, write: bool = False) -> ModelT:
    """The document in an answer, parsed once.

    Raises:
        ReadFailed: it is not the document that was asked for.
        OutcomeUnknown: the same, for a write: it may well have happened.
    """
    try:
        return model.model_validate_json(answer.body)
    except ValidationError as error:
        title = "The answer is unreadable; the write may have happened"
        kind = OutcomeUnknown if write else ReadFailed
        raise kind(
            title if write else "The answer is unreadable",
            f"{what}: {_summary(error)}",
            status=answer.status,
        ) from error


def _summary(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)
    shown = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in found[:3])
    return f"{shown}; and {len(found) - 3} more" if len(found) > 3 else shown


def dataset_record(resource: Resource[DatasetAttributes]) -> DatasetRecord:
    """The resource's id wins over the attribute."""
    found = resource.attributes
    return DatasetRecord(
        dataset_id=DatasetId(resource.id),
        version_id=VersionId(found.version_id),
        data_type=found.data_type,
        data_format=found.data_format,
        data_location=found.data_location,
        metadata_location=found.metadata_location,
        study_id=None if found.study_id is None else StudyId(found.study_id),
        last_modified_at=found.last_modified_at,
        created_at=found.created_at,
    )


def version_record(resource: Resource[VersionAttributes]) -> VersionRecord:
    """The resource's id wins over the attribute."""
    found = resource.attributes
    return VersionRecord(
        dataset_id=DatasetId(found.dataset_id),
        version_id=VersionId(resource.id),
        data_type=found.data_type,
        data_format=found.data_format,
        data_location=found.data_location,
        metadata_location=found.metadata_location,
        created_at=found.created_at,
    )


def file_record(resource: Resource[FileAttributes]) -> FileRecord:
    """A supplementary file, from its attributes alone."""
    found = resource.attributes
    return FileRecord(
        dataset_id=DatasetId(found.dataset_id),
        file_name=found.file_name,
        file_format=found.file_format,
        file_location=found.file_location,
        tag=found.tag,
        derived_from=found.derived_from,
        created_at=found.created_at,
    )


def ingestion_record(resource: Resource[IngestionAttributes]) -> IngestionRecord:
    """A recorded ingestion request."""
    found = resource.attributes
    return IngestionRecord(
        ingestion_id=resource.id,
        dataset_id=DatasetId(found.dataset_id),
        version_id=None if found.version_id is None else VersionId(found.version_id),
        run_id=found.run_id,
        params=found.params,
        at=found.at,
    )
