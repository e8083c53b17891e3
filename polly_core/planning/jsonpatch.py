"""The step ``patch``: RFC 6902 operations on the metadata, all or none."""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from polly_core.models.change import JsonPatch, PatchEntry
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.state import Action, Refused, State
from polly_core.planning.values import ABSENT, MaybeJson, shown

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_Container: TypeAlias = JsonObject | list[JsonValue]
_Edit: TypeAlias = Callable[[_Container, str], None]
"""Changes a container, which is the edit's own copy, at one key."""


class _Impossible(Exception):
    """An operation cannot be done; ``expected`` and ``found`` say why."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found


def json_patch(step: JsonPatch) -> Action:
    """Compile the step."""
    operations = tuple(step.entries)

    def act(state: State) -> State:
        document: JsonValue = state.metadata
        for number, entry in enumerate(operations, 1):
            try:
                document = _apply(document, entry)
            except _Impossible as problem:
                place = f"{entry.path or '(metadata)'} (operation {number}, {entry.op})"
                raise Refused(place, problem.expected, problem.found) from None
        if not isinstance(document, dict):
            raise Refused("(metadata)", "it to stay an object", shown(document))
        return state.with_metadata(document)

    return act


def _apply(document: JsonValue, entry: PatchEntry) -> JsonValue:
    keys = _keys(entry.path)
    match entry.op:
        case "test":
            return _tested(document, keys, entry.value)
        case "add":
            return _added(document, keys, entry.value)
        case "remove":
            return _removed(document, keys)
        case "replace":
            return _replaced(document, keys, entry.value)
    assert entry.source is not None
    source = _keys(entry.source)
    value = _need(document, source)
    if entry.op == "move":
        document = _removed(document, source) if source != keys else document
    return _added(document, keys, value) if source != keys else document


def _keys(pointer: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _tested(document: JsonValue, keys: Sequence[str], value: JsonValue) -> JsonValue:
    found = _find(document, keys)
    if found is ABSENT or not equal(found, value):
        raise _Impossible(shown(value), shown(found))
    return document


def _added(document: JsonValue, keys: Sequence[str], value: JsonValue) -> JsonValue:
    def add(container: _Container, key: str) -> None:
        if isinstance(container, dict):
            container[key] = value
        else:
            container.insert(_position(container, key, end=True), value)

    return _edited(document, keys, add) if keys else value


def _removed(document: JsonValue, keys: Sequence[str]) -> JsonValue:
    _need(document, keys)

    def remove(container: _Container, key: str) -> None:
        if isinstance(container, dict):
            del container[key]
        else:
            del container[_position(container, key)]

    return _edited(document, keys, remove) if keys else None


def _replaced(document: JsonValue, keys: Sequence[str], value: JsonValue) -> JsonValue:
    _need(document, keys)

    def put(container: _Container, key: str) -> None:
        if isinstance(container, dict):
            container[key] = value
        else:
            container[_position(container, key)] = value

    return _edited(document, keys, put) if keys else value


def _edited(node: JsonValue, keys: Sequence[str], edit: _Edit) -> JsonValue:
    """The document with one place edited: what is on the way is copied, the rest is shared."""
    if not isinstance(node, dict | list):
        raise _Impossible("an object or a list to hold it", shown(node))
    copied: _Container = dict(node) if isinstance(node, dict) else list(node)
    if len(keys) == 1:
        edit(copied, keys[0])
        return copied
    child = _child(node, keys[0])
    if child is ABSENT:
        raise _Impossible(f"{keys[0]!r} on the way to exist", shown(node))
    made = _edited(child, keys[1:], edit)
    if isinstance(copied, dict):
        copied[keys[0]] = made
    else:
        copied[int(keys[0])] = made
    return copied


def _need(document: JsonValue, keys: Sequence[str]) -> JsonValue:
    found = _find(document, keys)
    if found is ABSENT:
        where = "/" + "/".join(keys)
        raise _Impossible(f"a value at {where}", "nothing")
    return found


def _find(document: JsonValue, keys: Sequence[str]) -> MaybeJson:
    node: MaybeJson = document
    for key in keys:
        if node is ABSENT:
            return ABSENT
        node = _child(node, key)
    return node


def _child(node: JsonValue, key: str) -> MaybeJson:
    if isinstance(node, dict):
        return node.get(key, ABSENT)
    if isinstance(node, list) and _INDEX.fullmatch(key) and int(key) < len(node):
        return node[int(key)]
    return ABSENT


def _position(items: list[JsonValue], key: str, *, end: bool = False) -> int:
    if end and key == "-":
        return len(items)
    if _INDEX.fullmatch(key) and int(key) < len(items) + end:
        return int(key)
    raise _Impossible(f"an index from 0 to {len(items) - 1 + end}{' or -' if end else ''}", key)


def equal(left: JsonValue, right: JsonValue) -> bool:
    """Equality of RFC 6902: as JSON values, with 1 equal to 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and left == right
