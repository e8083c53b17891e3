"""A dataset in the middle of a change, and how a step says that it cannot go on."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from polly_core.models.catalog import DatasetRecord
from polly_core.models.fieldpath import FieldPath, format_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.values import (
    ABSENT,
    MaybeJson,
    NotAnObject,
    drop_field,
    get_field,
    put_field,
    shown,
)

_ATTRIBUTES_SHOWN = 8


class Refused(Exception):
    """A step cannot be done to this dataset."""

    def __init__(self, field: str, expected: str, found: str) -> None:
        super().__init__(f"field {field}: expected {expected}, found {found}")


class FieldMissing(Exception):
    """The dataset lacks a field that the step needs."""

    def __init__(self, path: FieldPath) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class State:
    """A dataset as the steps so far have left it. Never changed, only replaced."""

    record: DatasetRecord
    metadata: JsonObject
    data_type: str

    def document(self) -> dict[str, JsonValue]:
        """What expressions see."""
        return {
            "dataset_id": self.record.dataset_id,
            "data_type": self.data_type,
            "study_id": self.record.study_id,
            "last_modified_at": self.record.last_modified_at,
            "metadata": self.metadata,
        }

    def find(self, path: FieldPath) -> MaybeJson:
        """The field's value, or ``ABSENT``."""
        if path.attribute is None:
            return get_field(self.metadata, path.keys)
        return self.document()[path.attribute[1:]]

    def need(self, path: FieldPath) -> JsonValue:
        """The field's value. Raises ``FieldMissing``."""
        value = self.find(path)
        if value is ABSENT:
            raise FieldMissing(path)
        return value

    def put(self, path: FieldPath, value: JsonValue) -> "State":
        """With the field's value replaced. Raises ``Refused``."""
        if path.attribute is not None:
            if not isinstance(value, str) or not value:
                raise Refused(path.text, "a text that is not empty", shown(value))
            return State(self.record, self.metadata, value)
        try:
            metadata = put_field(self.metadata, path.keys, value)
        except NotAnObject as error:
            parent = format_field(error.keys)
            raise Refused(path.text, f"an object in {parent}", shown(error.found)) from None
        return self.with_metadata(metadata)

    def drop(self, path: FieldPath) -> "State":
        """Without the field. Raises ``Refused`` for an attribute, which every dataset has."""
        if path.attribute is not None:
            raise Refused(path.text, "a value, for it cannot be removed", "nothing")
        metadata = drop_field(self.metadata, path.keys)
        return self.with_metadata(metadata)

    def with_metadata(self, metadata: JsonObject) -> "State":
        """With other metadata."""
        if metadata is self.metadata:
            return self
        return State(self.record, metadata, self.data_type)


Action: TypeAlias = Callable[[State], State]
"""One compiled step. Raises ``Refused`` or ``FieldMissing``."""


def describe_missing(missing: FieldMissing, state: State) -> str:
    """What is missing, and what is there instead."""
    node: JsonValue = state.metadata
    for depth, key in enumerate(missing.path.keys):
        if not isinstance(node, dict) or key not in node:
            return (
                f"field {missing.path.text}: expected it to exist, {_instead(node, depth, missing)}"
            )
        node = node[key]
    return f"field {missing.path.text}: expected it to exist"


def _instead(node: JsonValue, depth: int, missing: FieldMissing) -> str:
    keys = missing.path.keys
    place = format_field(keys[:depth]) if depth else "the metadata"
    if not isinstance(node, dict):
        return f"found {shown(node)} in {place}"
    close = get_close_matches(keys[depth], node, n=1)
    if close:
        name = format_field((*keys[:depth], close[0]))
        return f"found no such field in {place}; did you mean {name}?"
    names = ", ".join(sorted(node)[:_ATTRIBUTES_SHOWN])
    more = ", …" if len(node) > _ATTRIBUTES_SHOWN else ""
    return f"found in {place}: {names}{more}" if names else f"{place} is empty"
