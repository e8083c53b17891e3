"""The documents of the catalog protocol (wire.md §2-§4, §7), one definition for both sides.

Attributes that a reader does not know are ignored; times are integer Unix milliseconds.
"""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

CONTENT_TYPE = "application/vnd.api+json"
API_KEY_HEADER = "x-api-key"

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
DEFAULT_BODY_LIMIT = 16 * 1024 * 1024
ID_PATTERN = r"^[0-9A-Za-z_-]+$"
MAX_ID_LENGTH = 255
MAX_FILE_NAME_LENGTH = 255
PRIORITIES = ("low", "medium", "high")
LOCKED_TITLE = "Repository Locked"


class WireModel(BaseModel):
    """Base of the protocol's documents: frozen, unknown members ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DatasetAttributes(WireModel):
    """Attributes of ``type: datasets``."""

    dataset_id: str
    omixatlas_id: str
    data_type: str
    data_format: str
    version_id: str
    data_location: str
    metadata_location: str
    study_id: str | None = None
    last_modified_at: int
    created_at: int | None = None


class VersionAttributes(WireModel):
    """Attributes of ``type: versions``."""

    dataset_id: str
    omixatlas_id: str
    version_id: str
    data_type: str
    data_format: str
    data_location: str
    metadata_location: str
    created_at: int


class FileAttributes(WireModel):
    """Attributes of ``type: supplementary_files``."""

    dataset_id: str
    omixatlas_id: str
    file_name: str
    file_format: str
    file_location: str
    tag: str | None = None
    derived_from: str | None = None
    created_at: int


class StudyAttributes(WireModel):
    """Attributes of ``type: studies``: there are none."""


class IngestionAttributes(WireModel):
    """Attributes of ``type: ingestions`` (an extension, route 15)."""

    dataset_id: str
    version_id: str | None = None
    run_id: str
    params: dict[str, Any] | None = None
    at: int


class S3Tokens(WireModel):
    """Temporary credentials; the member names are botocore's. ``Expiration`` has a zone."""

    AccessKeyId: str
    SecretAccessKey: str = Field(repr=False)
    SessionToken: str = Field(repr=False)
    Expiration: str


class CopyDestination(WireModel):
    """Where a copy may write (the copy form of a session token)."""

    bucket_name: str
    prefix: str
    access_level: str | None = None


class SessionTokenAttributes(WireModel):
    """Attributes of ``type: session-tokens``. The last four are extensions."""

    bucket_name: str
    prefix: str
    access_level: str | None = None
    tokens: S3Tokens
    copy_dest_details: CopyDestination | None = None
    endpoint_url: str | None = None
    region: str | None = None
    capabilities: tuple[str, ...] = ()
    instance_id: str | None = None


AttributesT = TypeVar("AttributesT", bound=WireModel)


class Resource(WireModel, Generic[AttributesT]):
    """``{"type", "id", "attributes"}``. The id wins over an attribute of the same meaning."""

    type: str = ""
    id: str
    attributes: AttributesT


class Links(WireModel):
    """``next`` is relative to the base URL and null or absent on the last page."""

    next: str | None = None


class IngestionNote(WireModel):
    """``meta.ingestion`` of a write's answer."""

    run_id: str
    status: str = "queued"
    params: dict[str, Any] | None = None


class Meta(WireModel):
    """``meta`` of an answer. Warnings that are no text are left out (wire.md §2.2)."""

    warnings: tuple[str, ...] = ()
    ingestion: IngestionNote | None = None

    @field_validator("warnings", mode="before")
    @classmethod
    def _texts(cls, value: object) -> tuple[str, ...]:
        texts = value if isinstance(value, list | tuple) else ()
        return tuple(text for text in texts if isinstance(text, str))


class Document(WireModel, Generic[AttributesT]):
    """An answer with one resource."""

    data: Resource[AttributesT]
    meta: Meta = Meta()


class ListDocument(WireModel, Generic[AttributesT]):
    """An answer with a list of resources."""

    data: tuple[Resource[AttributesT], ...]
    links: Links = Links()
    meta: Meta = Meta()


class ResourceRef(WireModel):
    """``{"type", "id"}``."""

    type: str = ""
    id: str


class RelatedDatasets(WireModel):
    """``relationships.datasets``."""

    data: tuple[ResourceRef, ...]


class StudyRelationships(WireModel):
    """``relationships`` of a study."""

    datasets: RelatedDatasets


class StudyMembers(WireModel):
    """The answer for one study: its list stands at the top level (wire.md §4.7)."""

    relationships: StudyRelationships
    links: Links = Links()


class ErrorObject(WireModel):
    """One error. The official client needs ``title`` and ``detail``."""

    status: str
    code: str
    title: str
    detail: str


class ErrorDocument(WireModel):
    """An answer that is a failure. Only the first error is read."""

    errors: tuple[ErrorObject, ...] = Field(min_length=1)


class WriteMeta(WireModel):
    """``meta`` of a create or update request, as far as this project gives it meaning."""

    model_config = ConfigDict(frozen=True, extra="allow")

    ingestion_params: dict[str, Any] | None = None
    expected_version_id: str | None = None


AccessLevel = Literal["none", "read", "write"]
