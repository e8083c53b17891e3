"""JSON values: compare, copy, read strictly, change nested fields without touching the original.

Changing a field copies the objects on the way to it and shares the rest, so that a difference is
found by identity and the caller's document stays as it is.
"""

import json
import math
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Literal, NoReturn, TypeAlias

from polly_core.models.jsonvalue import JsonObject, JsonValue

_SHOWN = 80


class _Absent(Enum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT
"""There is no such field, which is not the same as null."""

MaybeJson: TypeAlias = JsonValue | Literal[_Absent.ABSENT]


class NotAnObject(Exception):
    """A key on the way to a field holds something else than an object."""

    def __init__(self, keys: tuple[str, ...], found: JsonValue) -> None:
        super().__init__(keys, found)
        self.keys = keys
        self.found = found


def get_field(document: JsonObject, keys: Sequence[str]) -> MaybeJson:
    """The value at these keys."""
    node: JsonValue = document
    for key in keys:
        if not isinstance(node, dict) or key not in node:
            return ABSENT
        node = node[key]
    return node


def inner_keys(value: JsonObject, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Keys to every field in an object, at every level."""
    for key, inner in value.items():
        keys = (*above, key)
        yield keys
        if isinstance(inner, dict):
            yield from inner_keys(inner, keys)


def put_field(document: JsonObject, keys: Sequence[str], value: JsonValue) -> JsonObject:
    """A document with the value at these keys; the same one where it is there already.

    Raises:
        NotAnObject: a key on the way holds something else than an object.
    """
    current = get_field(document, keys)
    if current is not ABSENT and same(current, value):
        return document
    result = node = dict(document)
    for depth, key in enumerate(keys[:-1], 1):
        child = node.get(key, ABSENT)
        if child is not ABSENT and not isinstance(child, dict):
            raise NotAnObject(tuple(keys[:depth]), child)
        copied: JsonObject = {} if child is ABSENT else dict(child)
        node[key] = copied
        node = copied
    node[keys[-1]] = value
    return result


def drop_field(document: JsonObject, keys: Sequence[str]) -> JsonObject:
    """A document without the field; the same one where there is none."""
    if get_field(document, keys) is ABSENT:
        return document
    result = node = dict(document)
    for key in keys[:-1]:
        child = node[key]
        assert isinstance(child, dict)
        copied = dict(child)
        node[key] = copied
        node = copied
    del node[keys[-1]]
    return result


def same(left: JsonValue, right: JsonValue) -> bool:
    """Whether two JSON values have the same canonical form: 1, 1.0 and true differ."""
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return _same_objects(left, right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1.0, left) == math.copysign(1.0, right)
    return left == right


def _same_objects(left: JsonObject, right: JsonObject) -> bool:
    if len(left) != len(right):
        return False
    return all(key in right and same(value, right[key]) for key, value in left.items())


def copy_value(value: JsonValue) -> JsonValue:
    """A copy that shares no object or list with the original."""
    if isinstance(value, dict):
        return {key: copy_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_value(item) for item in value]
    return value


def not_json(value: object, at: str = "the top") -> str | None:
    """What keeps a Python value from being JSON, and where; None where nothing does."""
    match value:
        case None | str() | bool() | int():
            return None
        case float():
            return None if math.isfinite(value) else f"{value} at {at}"
        case list():
            problems = (not_json(item, f"{at}[{index}]") for index, item in enumerate(value))
        case dict():
            problems = (
                not_json(item, f"{at}.{key}")
                if isinstance(key, str)
                else f"the key {key!r} at {at}"
                for key, item in value.items()
            )
        case _:
            return f"a {type(value).__name__} at {at}"
    return next((found for found in problems if found), None)


def read_json(text: str | bytes) -> JsonValue:
    """Read JSON text, strictly: no NaN, no infinite number, no key twice in one object.

    Raises:
        ValueError: it is not such a text; the message says why.
    """
    value: JsonValue = json.loads(
        text, object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite
    )
    return value


def _unique_keys(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is too large")
    return number


def shown(value: MaybeJson) -> str:
    """A value as it stands in a message, cut where it is long."""
    if value is ABSENT:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
