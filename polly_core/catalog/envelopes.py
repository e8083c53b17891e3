"""Request documents, checked before anything is sent or uploaded."""

import re

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.wire import ID_PATTERN, MAX_ID_LENGTH
from polly_core.transport.session import encode_body


def check_id(identifier: str, name: str) -> None:
    """Raises ``InvalidInput`` for an id that the service would refuse, with one that it takes."""
    if not isinstance(identifier, str) or not identifier:
        raise InvalidInput(f"Empty string cannot be used as {name}")
    if not re.fullmatch(ID_PATTERN.strip("^$"), identifier):
        usable = re.sub("[^0-9a-zA-Z_-]", "_", identifier)
        raise InvalidInput(f"Cannot use '{identifier}' as {name}, consider using '{usable}'")
    if len(identifier) > MAX_ID_LENGTH:
        raise InvalidInput(
            f"Cannot use an id of {len(identifier)} characters as {name}, expected at most "
            f"{MAX_ID_LENGTH}: '{identifier[:40]}…'"
        )


def check_metadata(metadata: JsonObject) -> None:
    """Raises ``InvalidInput`` for metadata that is no JSON object."""
    if not isinstance(metadata, dict):
        raise InvalidInput(f"expected a dictionary as metadata, found {type(metadata).__name__}")
    check_values(metadata, "metadata")


def check_values(values: JsonObject, name: str) -> None:
    """Raises ``InvalidInput`` for values that are not JSON, or that JSON would not keep as given.

    A key that is no text becomes one on the way: of ``{1: "a", "1": "b"}`` one value would be lost.
    """
    encode_body(values)
    left: list[tuple[str, object]] = [(name, values)]
    while left:
        place, value = left.pop()
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise InvalidInput(
                        f"expected text as every key, found {key!r} ({type(key).__name__}) in "
                        f"{place}; nothing was sent. JSON knows no other keys: write it as text"
                    )
            left += [(f"{place}.{key}", one) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            left += [(f"{place}[{number}]", one) for number, one in enumerate(value)]


def write_meta(ingestion_params: JsonObject | None, other_params: JsonObject | None) -> JsonObject:
    """``meta`` of a write; ``other_params`` may add any member, or replace this one."""
    meta: JsonObject = {"ingestion_params": ingestion_params, **(other_params or {})}
    check_values(meta, "meta")
    return meta


def dataset_document(dataset_id: str, attributes: JsonObject, meta: JsonObject) -> JsonObject:
    """A create or an update of a dataset."""
    return {
        "data": {"type": "datasets", "id": dataset_id, "attributes": attributes},
        "meta": meta,
    }


def file_document(attributes: JsonObject) -> JsonObject:
    """An attachment."""
    return {"data": {"type": "supplementary_files", "attributes": attributes}}


def expecting(meta: JsonObject, expected: JsonValue) -> JsonObject:
    """The same ``meta`` with a precondition, unless the caller gave one."""
    return {"expected_version_id": expected, **meta}
