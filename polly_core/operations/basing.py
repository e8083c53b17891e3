"""Reads the version that a manifest row was exported from."""

from polly_core.catalog.ports import Reader
from polly_core.errors import NotFound
from polly_core.models.catalog import DatasetRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.editing import BASE_COLUMN, Base, base_version
from polly_core.planning.steps import StepFailed


def read_base(
    reader: Reader, record: DatasetRecord, metadata: JsonObject, row: JsonObject | None
) -> Base | None:
    """The base of a row; None where it says none.

    Args:
        metadata: of the record; where that is the base, nothing is read.

    Raises:
        StepFailed: the dataset never had such a version.
    """
    version_id = base_version(row)
    if version_id is None:
        return None
    if version_id == record.version_id:
        return Base(version_id, metadata, record.data_type, record.data_location)
    try:
        version = reader.version(record.dataset_id, version_id)
    except NotFound:
        reason = (
            f"manifest row: {BASE_COLUMN} {version_id} is no version of dataset "
            f"{record.dataset_id}; export again, or remove the column to compare with nothing"
        )
        raise StepFailed((reason,)) from None
    metadata = reader.metadata(version)
    return Base(version_id, metadata, version.data_type, version.data_location)
