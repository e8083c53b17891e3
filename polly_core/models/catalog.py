"""What a catalog holds: datasets, versions, supplementary files, studies."""

from collections.abc import Mapping
from typing import NewType

from pydantic import Field

from polly_core.models.jsonvalue import JsonObject, JsonValue, Model

AtlasId = NewType("AtlasId", str)
DatasetId = NewType("DatasetId", str)
VersionId = NewType("VersionId", str)
StudyId = NewType("StudyId", str)
RunId = NewType("RunId", str)

CAN_EXPECT_VERSION = "expected_version_id"
CAN_LIST_INGESTIONS = "ingestions"


class CatalogRef(Model):
    """One atlas on one service. Part of every run, plan and lease; a mismatch is refused."""

    api_url: str
    """Normalised: lower-case scheme and host, no trailing slash."""
    atlas_id: AtlasId
    instance_id: str | None = None
    """Stays with a self-hosted server's data folder; None on the hosted service."""

    def __str__(self) -> str:
        return f"atlas {self.atlas_id} on {self.api_url}"


class Capabilities(Model):
    """What a service can do beyond the hosted protocol (wire.md §4.1)."""

    instance_id: str | None = None
    expects_version: bool = False
    """It refuses a write whose ``expected_version_id`` is not the current version."""
    lists_ingestions: bool = False
    """It records ingestion requests and lists them by run (route 15)."""


class VersionRecord(Model):
    """One immutable version of a dataset, as the wire gives it. Times are Unix milliseconds."""

    dataset_id: DatasetId
    version_id: VersionId
    data_type: str
    data_format: str
    data_location: str
    metadata_location: str
    created_at: int


class DatasetRecord(Model):
    """A dataset as it stands: its current version and what has no versions. Unix milliseconds."""

    dataset_id: DatasetId
    version_id: VersionId
    data_type: str
    data_format: str
    data_location: str
    metadata_location: str
    study_id: StudyId | None = None
    last_modified_at: int
    created_at: int | None = None


class FileRecord(Model):
    """A supplementary file. ``derived_from`` is the data location it is linked to."""

    dataset_id: DatasetId
    file_name: str
    file_format: str
    file_location: str
    tag: str | None = None
    derived_from: str | None = None
    created_at: int


class IngestionRecord(Model):
    """One recorded ingestion request (wire.md §7). ``at`` is Unix milliseconds."""

    ingestion_id: str
    dataset_id: DatasetId
    version_id: VersionId | None
    run_id: str
    params: JsonValue = None
    at: int


class DatasetPage(Model):
    """One page of a listing. ``next_link`` is the relative link of the page after it."""

    records: tuple[DatasetRecord, ...]
    next_link: str | None = None


class DatasetChange(Model):
    """What a PATCH sends; a member left unset stays as it is. A null study leaves the study."""

    data_type: str | None = None
    metadata: JsonObject | None = None
    data_s3_uri: str | None = None
    data_format: str | None = None
    study_id: StudyId | None = None


class NewDataset(Model):
    """What a POST of a dataset sends."""

    data_type: str
    metadata: JsonObject
    data_s3_uri: str
    data_format: str
    study_id: StudyId | None = None


class NewFile(Model):
    """What a POST of a supplementary file sends. It replaces a file of the same name, whole."""

    file_name: str
    file_s3_uri: str
    file_format: str
    tag: str | None = None
    source_version_id: VersionId | None = None
    """Links it to the data of this version, which must be the current data."""


class ObjectStat(Model):
    """An object of the store as it stands. ``size`` is bytes."""

    location: str
    """Pinned."""
    size: int
    etag: str


class WriteStamp(Model):
    """What goes with every write of a run."""

    run_id: RunId
    """Sent as ``ingestion_run_id``."""
    priority: str | None = None
    """low, medium or high; None leaves it to the service."""
    flags: Mapping[str, bool] = Field(default_factory=dict)
    """Indexing flags (wire.md §7): file_metadata, col_metadata, row_metadata, data_required."""
    expected_version_id: VersionId | None = None
    """Only where the service enforces it; the write is refused with 409 if it is not current."""
