"""Differences of metadata as RFC 6902 patches with what stood there before.

Objects are compared key by key, everything else as a whole: lists are atomic. The order of keys
is no difference; 1, 1.0 and true are different values.
"""

from collections.abc import Iterable

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.run import PatchOp
from polly_core.planning.values import ABSENT, same


def diff(before: JsonObject, after: JsonObject) -> tuple[PatchOp, ...]:
    """The patch that makes ``after`` of ``before``: ascending by key, at every level.

    No operation's path leads into another's, so they may be applied in any order.
    """
    ops: list[PatchOp] = []
    _compare(before, after, "", ops)
    return tuple(ops)


def _compare(before: JsonObject, after: JsonObject, prefix: str, ops: list[PatchOp]) -> None:
    changed = [
        key
        for key, value in after.items()
        if (old := before.get(key, ABSENT)) is not value
        and (old is ABSENT or not same(before[key], value))
    ]
    removed = before.keys() - after.keys()
    if not changed and not removed:
        return
    for key in sorted([*changed, *removed]):
        path = f"{prefix}/{escape(key)}"
        if key not in after:
            ops.append(PatchOp(op="remove", path=path, before=before[key]))
        elif key not in before:
            ops.append(PatchOp(op="add", path=path, value=after[key]))
        else:
            old, new = before[key], after[key]
            if isinstance(old, dict) and isinstance(new, dict):
                _compare(old, new, path, ops)
            else:
                ops.append(PatchOp(op="replace", path=path, value=new, before=old))


def apply_patch(document: JsonObject, ops: Iterable[PatchOp]) -> JsonObject:
    """The document with the operations applied; the one given is not touched.

    What stood there before is not compared: ``unmet`` does that.

    Raises:
        InvalidInput: an operation's path does not exist in the document.
    """
    result = dict(document)
    owned: dict[tuple[str, ...], JsonObject] = {(): result}
    for op in ops:
        keys = pointer_keys(op.path)
        target = _own(result, keys[:-1], owned, op)
        if op.op != "add" and keys[-1] not in target:
            raise InvalidInput(f"cannot {op.op} {op.path}: there is no such field")
        if op.op == "remove":
            del target[keys[-1]]
        else:
            target[keys[-1]] = op.value
    return result


def _own(
    root: JsonObject, keys: tuple[str, ...], owned: dict[tuple[str, ...], JsonObject], op: PatchOp
) -> JsonObject:
    """The object at ``keys``, copied once, so that the caller's document stays as it is."""
    node = root
    for depth, key in enumerate(keys, 1):
        done = owned.get(keys[:depth])
        if done is None:
            child = node.get(key)
            if not isinstance(child, dict):
                raise InvalidInput(f"cannot {op.op} {op.path}: {key!r} on the way is no object")
            done = node[key] = owned[keys[:depth]] = dict(child)
        node = done
    return node


def invert(ops: Iterable[PatchOp]) -> tuple[PatchOp, ...]:
    """The patch that takes the operations back, in the same canonical order."""
    return tuple(_inverse(op) for op in ops)


def _inverse(op: PatchOp) -> PatchOp:
    if op.op == "add":
        return PatchOp(op="remove", path=op.path, before=op.value)
    if op.op == "remove":
        return PatchOp(op="add", path=op.path, value=op.before)
    return PatchOp(op="replace", path=op.path, value=op.before, before=op.value)


def unmet(document: JsonObject, ops: Iterable[PatchOp]) -> tuple[PatchOp, ...]:
    """The operations that do not find in the document what they expect to stand there."""
    return tuple(op for op in ops if not _met(document, op))


def _met(document: JsonObject, op: PatchOp) -> bool:
    node: JsonValue = document
    keys = pointer_keys(op.path)
    for key in keys[:-1]:
        if not isinstance(node, dict) or key not in node:
            return False
        node = node[key]
    if not isinstance(node, dict):
        return False
    if op.op == "add":
        return keys[-1] not in node
    return keys[-1] in node and same(node[keys[-1]], op.before)


def op_json(op: PatchOp) -> JsonObject:
    """The one JSON form of an operation: members that mean nothing for its kind are absent."""
    dumped: JsonObject = {"op": op.op, "path": op.path}
    if op.op != "remove":
        dumped["value"] = op.value
    if op.op != "add":
        dumped["before"] = op.before
    return dumped


def escape(key: str) -> str:
    """A key as it stands in a JSON pointer (RFC 6901)."""
    if "~" in key or "/" in key:
        return key.replace("~", "~0").replace("/", "~1")
    return key


def pointer_keys(pointer: str) -> tuple[str, ...]:
    """The keys of a JSON pointer below the root.

    Raises:
        InvalidInput: it is no pointer, or is the root itself, which no patch replaces.
    """
    if not pointer.startswith("/"):
        raise InvalidInput(f"expected a JSON pointer like /organism, found {pointer!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
