"""What requests say: every member checked, every complaint precise (wire.md §4)."""

import json
import re
from collections.abc import Collection, Mapping

from polly_core.models.catalog import AtlasId, DatasetId, StudyId, VersionId
from polly_core.models.jsonvalue import JsonObject, JsonValue, Model
from polly_core.models.wire import ID_PATTERN, MAX_FILE_NAME_LENGTH, MAX_ID_LENGTH, PRIORITIES
from polly_core.server.jsontext import parse_body, parse_object
from polly_core.server.refusals import bad_request, conflict

_METADATA = ("data", "attributes", "metadata")
_DATASET_ATTRIBUTES = ("data_type", "metadata", "data_s3_uri", "data_format", "study_id")
_FILE_ATTRIBUTES = ("file_name", "file_s3_uri", "file_format", "tag", "source_version_id")
_ID = re.compile(ID_PATTERN.removeprefix("^").removesuffix("$"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class IngestionRequest(Model):
    """``meta.ingestion_params`` of a write."""

    run_id: str | None = None
    params: JsonObject | None = None


class CreateRequest(Model):
    """Route 3. ``metadata`` is the JSON text as it was sent."""

    dataset_id: DatasetId
    data_type: str
    data_format: str
    data_s3_uri: str
    metadata: bytes
    study_id: StudyId | None = None
    ingestion: IngestionRequest
    warnings: tuple[str, ...] = ()


class UpdateRequest(Model):
    """Route 5. None means unchanged; for the study ``sets_study`` says whether it was given."""

    data_type: str | None = None
    data_format: str | None = None
    data_s3_uri: str | None = None
    metadata: bytes | None = None
    sets_study: bool = False
    study_id: StudyId | None = None
    expected_version_id: VersionId | None = None
    ingestion: IngestionRequest
    warnings: tuple[str, ...] = ()

    @property
    def makes_version(self) -> bool:
        """Whether anything that is versioned was given, changed or not."""
        parts = (self.data_type, self.data_format, self.data_s3_uri, self.metadata)
        return any(part is not None for part in parts)


class DeleteRequest(Model):
    """The ``params`` of route 6."""

    expected_version_id: VersionId | None = None
    ingestion: IngestionRequest = IngestionRequest()


class AttachRequest(Model):
    """Route 9."""

    file_name: str
    file_format: str
    file_s3_uri: str
    tag: str | None = None
    source_version_id: VersionId | None = None
    warnings: tuple[str, ...] = ()


class TokenRequest(Model):
    """Route 1. With a destination it is the copy form."""

    source: AtlasId
    destination: AtlasId | None = None


def parse_create(body: bytes) -> CreateRequest:
    """Read the body of a create.

    Raises:
        BadRequest: not JSON, or a member is missing or ill-typed.
        Conflict: ``data.type`` is another resource.
    """
    document, metadata = parse_body(body, _METADATA)
    data = _data(document, "datasets")
    attributes = data.object("attributes")
    attributes.object("metadata")
    meta = _meta(document)
    return CreateRequest(
        dataset_id=DatasetId(data.identifier("id")),
        data_type=attributes.text("data_type"),
        data_format=attributes.text("data_format"),
        data_s3_uri=attributes.text("data_s3_uri"),
        metadata=(metadata or "").encode(),
        study_id=_study_id(attributes),
        ingestion=_ingestion(meta),
        warnings=attributes.unknown(_DATASET_ATTRIBUTES),
    )


def parse_update(body: bytes, dataset_id: DatasetId) -> UpdateRequest:
    """Read the body of an update of the dataset that the URL names.

    Raises:
        BadRequest: not JSON, or a member is missing or ill-typed.
        Conflict: ``data.type`` is another resource, ``data.id`` another dataset.
    """
    document, metadata = parse_body(body, _METADATA)
    data = _data(document, "datasets")
    if (found := data.identifier("id")) != dataset_id:
        raise conflict(f"data.id: expected {dataset_id!r} as in the URL, found {found!r}")
    attributes = data.object("attributes")
    if "metadata" in attributes:
        attributes.object("metadata")
    else:
        metadata = None
    meta = _meta(document)
    return UpdateRequest(
        data_type=attributes.text_if_given("data_type"),
        data_format=attributes.text_if_given("data_format"),
        data_s3_uri=attributes.text_if_given("data_s3_uri"),
        metadata=None if metadata is None else metadata.encode(),
        sets_study="study_id" in attributes,
        study_id=_study_id(attributes),
        expected_version_id=_expected_version(meta),
        ingestion=_ingestion(meta),
        warnings=attributes.unknown(_DATASET_ATTRIBUTES),
    )


def parse_delete(params: str | None) -> DeleteRequest:
    """Read the query parameter ``params`` of a delete.

    Raises:
        BadRequest: not a JSON object, or a member that has a meaning is ill-typed.
    """
    members = _Members(parse_object(params, "params") if params else {}, "params")
    return DeleteRequest(
        expected_version_id=_expected_version(members), ingestion=_ingestion(members)
    )


def parse_attach(body: bytes) -> AttachRequest:
    """Read the body of an attach.

    Raises:
        BadRequest: not JSON, a member is missing or ill-typed, or the name cannot be used.
        Conflict: ``data.type`` is another resource.
    """
    document, _ = parse_body(body)
    attributes = _data(document, "supplementary_files").object("attributes")
    source = attributes.text_or_null("source_version_id")
    return AttachRequest(
        file_name=check_file_name(attributes.text("file_name")),
        file_format=attributes.text("file_format"),
        file_s3_uri=attributes.text("file_s3_uri"),
        tag=attributes.text_or_null("tag"),
        source_version_id=None if source is None else VersionId(source),
        warnings=attributes.unknown(_FILE_ATTRIBUTES),
    )


def parse_token_request(body: bytes) -> TokenRequest:
    """Read the body of a request for session tokens.

    Raises:
        BadRequest: not JSON, or a member is missing or ill-typed.
        Conflict: ``data.type`` is another resource.
    """
    document, _ = parse_body(body)
    attributes = _data(document, "session-tokens").object("attributes")
    destination = attributes.identifier_or_null("copy_dest_omixatlas_id")
    return TokenRequest(
        source=AtlasId(attributes.identifier("omixatlas_id")),
        destination=None if destination is None else AtlasId(destination),
    )


def parse_flag(text: str | None, name: str) -> bool:
    """``True`` or ``False`` of a query, in any case; absent is False.

    Raises:
        BadRequest: neither.
    """
    folded = (text or "false").lower()
    if folded not in {"true", "false"}:
        raise bad_request(f"{name}: expected True or False, found {text!r}")
    return folded == "true"


def check_id(text: str, what: str) -> str:
    """The id, if it is one (wire.md §5.4).

    Raises:
        BadRequest: it is not; ``what`` names it.
    """
    if not _ID.fullmatch(text) or len(text) > MAX_ID_LENGTH:
        raise bad_request(
            f"{what}: expected 1 to {MAX_ID_LENGTH} ASCII letters, digits, '_' or '-', "
            f"found {_shown(text)}"
        )
    return text


def check_file_name(name: str) -> str:
    """The name, if a supplementary file may have it (wire.md §4.6).

    Raises:
        BadRequest: it may not.
    """
    reason = None
    if not 1 <= len(name) <= MAX_FILE_NAME_LENGTH:
        reason = f"expected 1 to {MAX_FILE_NAME_LENGTH} characters, found {len(name)}"
    elif "/" in name or name in {".", ".."} or _CONTROL.search(name):
        reason = "a name with '/', a control character, or '.' or '..' itself cannot be used"
    elif name.endswith(".versions"):
        # The object store keeps versions in folders of such names and would hide the file's.
        reason = "a name that ends in '.versions' cannot be stored"
    if reason:
        raise bad_request(f"file_name {_shown(name)}: {reason}")
    return name


class _Members:
    """The members of one JSON object; ``where`` is its path, for complaints."""

    def __init__(self, values: Mapping[str, JsonValue], where: str) -> None:
        self._values = values
        self._where = where

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def object(self, name: str) -> "_Members":
        value = self._values.get(name)
        if not isinstance(value, dict):
            raise self._unexpected(name, "an object")
        return _Members(value, f"{self._where}.{name}")

    def object_or_null(self, name: str) -> JsonObject | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._unexpected(name, "an object or null")
        return value

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str):
            raise self._unexpected(name, "a string")
        if not _encodable(value):
            raise self._unexpected(name, "whole characters")
        return value

    def text_if_given(self, name: str) -> str | None:
        return self.text(name) if name in self._values else None

    def text_or_null(self, name: str) -> str | None:
        return None if self._values.get(name) is None else self.text(name)

    def identifier(self, name: str) -> str:
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise self._unexpected(name, "an id (a string)")
        return check_id(value, f"{self._where}.{name}")

    def identifier_or_null(self, name: str) -> str | None:
        return None if self._values.get(name) is None else self.identifier(name)

    def unknown(self, known: Collection[str]) -> tuple[str, ...]:
        """A warning for every member that has no meaning here."""
        return tuple(
            f"Unknown attribute {_shown(name)} was ignored"
            for name in self._values
            if name not in known
        )

    def _unexpected(self, name: str, expected: str) -> Exception:
        found = _kind(self._values[name]) if name in self._values else "nothing"
        return bad_request(f"{self._where}.{name}: expected {expected}, found {found}")


def _data(document: JsonObject, resource: str) -> _Members:
    data = _Members(document, "body").object("data")
    if (found := data.text("type")) != resource:
        raise conflict(f"data.type: expected {resource!r}, found {_shown(found)}")
    return data


def _meta(document: JsonObject) -> _Members:
    return _Members(_Members(document, "body").object_or_null("meta") or {}, "meta")


def _study_id(attributes: _Members) -> StudyId | None:
    study = attributes.identifier_or_null("study_id")
    return None if study is None else StudyId(study)


def _expected_version(members: _Members) -> VersionId | None:
    expected = members.text_or_null("expected_version_id")
    return None if expected is None else VersionId(expected)


def _ingestion(members: _Members) -> IngestionRequest:
    params = members.object_or_null("ingestion_params")
    if not _encodable(json.dumps(params, ensure_ascii=False)):
        raise bad_request("ingestion_params: expected whole characters in every string")
    known = _Members(params or {}, "ingestion_params")
    priority = known.text_or_null("priority")
    if priority is not None and priority not in PRIORITIES:
        raise bad_request(
            f"ingestion_params.priority: expected one of {', '.join(PRIORITIES)}, "
            f"found {_shown(priority)}"
        )
    return IngestionRequest(run_id=known.text_or_null("ingestion_run_id"), params=params)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 100 else f"{shown[:100]}…"


def _kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a number"
